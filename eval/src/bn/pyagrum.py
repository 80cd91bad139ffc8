"""Answers questions to networks with pyAgrum: one JSON object per line in, one per line out.

In:  {"bayes": bool, "cards": [..], "factors": [{"scope": [..], "table": [..]}, ..], "runs": n,
      "queries": [{"hard": [[variable, state], ..], "soft": [[variable, [..]], ..]}, ..]}
     tables row-major, the last variable fastest; of a Bayesian network the last one is the child, and the order is by child.
Out: {"version": "..", "entries": n, "answers": [{"marginals": [[..], ..], "log": x, "seconds": s} or "impossible", ..]}
     seconds: median of the runs, from the evidence set to every marginal as a Python list.
"""
import json
import math
import statistics
import sys
import time

import pyagrum as gum


def bayes(model):
    net = gum.BayesNet()
    for v, card in enumerate(model["cards"]):
        net.add(gum.LabelizedVariable(f"v{v}", "", card))
    for factor in model["factors"]:
        # The arc added first is the fastest axis after the child.
        for parent in reversed(factor["scope"][:-1]):
            net.addArc(f"v{parent}", f"v{factor['scope'][-1]}")
    for factor in model["factors"]:
        net.cpt(f"v{factor['scope'][-1]}").fillWith(factor["table"])
    return net, gum.LazyPropagation(net)


def markov(model):
    # pyAgrum takes one factor per set of variables: those over the same set are multiplied first.
    net = gum.MarkovRandomField()
    for v, card in enumerate(model["cards"]):
        net.add(gum.LabelizedVariable(f"v{v}", "", card))
    tables = {}
    for factor in model["factors"]:
        table = gum.Tensor()
        for v in reversed(factor["scope"]):
            table.add(net.variable(f"v{v}"))
        table.fillWith(factor["table"])
        key = tuple(sorted(factor["scope"]))
        tables[key] = tables[key] * table if key in tables else table
    for table in tables.values():
        net.addFactor(table)
    return net, gum.ShaferShenoyMRFInference(net)


def ask(engine, count, query, runs):
    evidence = {f"v{v}": s for v, s in query["hard"]} | {f"v{v}": values for v, values in query["soft"]}
    names = [f"v{v}" for v in range(count)]
    seconds = []
    for _ in range(runs):
        engine.eraseAllEvidence()
        engine.setEvidence(evidence)
        started = time.perf_counter()
        try:
            engine.makeInference()
            marginals = [engine.posterior(name).tolist() for name in names]
        except gum.IncompatibleEvidence:
            return "impossible"
        seconds.append(time.perf_counter() - started)
    log = None
    if hasattr(engine, "evidenceProbability"):
        # Evidence that a posterior does not hang on is pruned, and so its contradictions go unnoticed but here.
        p = engine.evidenceProbability()
        if p == 0:
            return "impossible"
        log = math.log(p)
    if any(x != x for marginal in marginals for x in marginal):
        return "impossible"
    return {"marginals": marginals, "log": log, "seconds": statistics.median(seconds)}


for line in sys.stdin:
    model = json.loads(line)
    net, engine = bayes(model) if model["bayes"] else markov(model)
    if hasattr(engine, "setNumberOfThreads"):
        engine.setNumberOfThreads(1)
    count = len(model["cards"])
    answers = [ask(engine, count, query, model["runs"]) for query in model["queries"]]
    print(json.dumps({"version": gum.__version__, "answers": answers}), flush=True)
