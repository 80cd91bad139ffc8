//! `/api/v1/series`, `/api/v1/labels` and `/api/v1/label/<name>/values`: what there is, not what it was.
use super::Api;
use super::answer::{PromError, Told, json_answer, written_body};
use super::params::Params;
use super::source::refusal;
use super::values::{put_list, put_pairs, put_text};
use super::work::Share;
use crate::recent::{Recent, SelectError};
use crate::store::Store;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use faultline_model::Millis;
use faultline_promql::{Features, Matcher, parse_with};
use std::sync::Arc;

/// Selectors of one request.
const SETS_MAX: usize = 64;

/// Label sets of series with samples in a stretch of time. GET, or POST with the parameters as a form.
pub async fn series(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = async {
        let params = Params::with_body(request).await?;
        if params.all("match[]").next().is_none() {
            return Err(PromError::data("no match[] parameter provided".into()));
        }
        let asked = Asked::of(&api, &params, |error| PromError::bad("match[]", error))?;
        found(&api, &params, asked, |recent, asked| {
            let all = recent.label_sets(&asked.sets, asked.from, asked.to)?;
            let put = |out: &mut Vec<u8>| put_list(out, all.iter().take(asked.limit), put_pairs);
            Ok(asked.written(all.len(), put))
        })
        .await
    };
    answer.await.unwrap_or_else(PromError::into_response)
}

/// Label names.
pub async fn names(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = async {
        let params = Params::with_body(request).await?;
        let asked = Asked::of(&api, &params, PromError::data)?;
        found(&api, &params, asked, |recent, asked| {
            let all = recent.label_names(&asked.sets, asked.from, asked.to)?;
            let put = |out: &mut Vec<u8>| put_list(out, all.iter().take(asked.limit), |out, name| put_text(out, name));
            Ok(asked.written(all.len(), put))
        })
        .await
    };
    answer.await.unwrap_or_else(PromError::into_response)
}

/// Values of a label.
pub async fn values(State(api): State<Arc<Api>>, Path(name): Path<String>, uri: Uri) -> Response {
    let answer = async {
        let params = Params::of(&uri);
        let name = unescaped(&name);
        if name.is_empty() {
            return Err(PromError::data(format!("invalid label name: {name:?}")));
        }
        let asked = Asked::of(&api, &params, PromError::data)?;
        found(&api, &params, asked, move |recent, asked| {
            let all = recent.label_values(&name, &asked.sets, asked.from, asked.to)?;
            let put = |out: &mut Vec<u8>| put_list(out, all.iter().take(asked.limit), put_text);
            Ok(asked.written(all.len(), put))
        })
        .await
    };
    answer.await.unwrap_or_else(PromError::into_response)
}

/// What all three say.
struct Asked {
    sets: Vec<Vec<Matcher>>,
    from: Millis,
    to: Millis,
    limit: usize,
}

impl Asked {
    fn of(api: &Api, params: &Params, refused: impl Fn(String) -> PromError) -> Result<Asked, PromError> {
        let limit = params.prometheus_limit()?;
        let from = params.time("start")?.unwrap_or(Millis(i64::MIN));
        let to = params.time("end")?.unwrap_or(Millis(i64::MAX));
        let sets: Result<_, String> = params.all("match[]").map(|text| selector(text, api.features)).collect();
        let sets: Vec<_> = sets.map_err(&refused)?;
        if sets.len() > SETS_MAX {
            return Err(refused(format!("more than {SETS_MAX} match[] parameters; ask for fewer at a time")));
        }
        Ok(Asked { sets, from, to, limit })
    }

    /// The answer's body.
    ///
    /// - `count`: of what was found.
    /// - `put`: appends as much of it as may be told.
    fn written(&self, count: usize, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut told = Told::default();
        if count > self.limit {
            told.warnings.push("results truncated due to limit".into());
        }
        written_body(put, &told)
    }
}

/// The matchers of a selector and nothing else.
pub(super) fn selector(text: &str, features: Features) -> Result<Vec<Matcher>, String> {
    let expr = match parse_with(text, features) {
        Ok(expr) => expr,
        Err(error) => {
            let error = error.to_string();
            let empty = error.contains("must contain at least one non-empty matcher");
            return Err(if empty { "match[] must contain at least one non-empty matcher".into() } else { error });
        }
    };
    let selector = expr.series_selector();
    let matchers = selector.map(|selector| selector.matchers.clone());
    matchers.ok_or_else(|| format!("1:1: parse error: a series selector is expected, not the expression {text:?}"))
}

/// The same of a selector that may accept everything: of a label that one has more it is taken away again.
pub(super) fn any_selector(text: &str, features: Features) -> Result<Vec<Matcher>, String> {
    let refused = match selector(text, features) {
        Err(refused) if refused.contains("at least one non-empty matcher") => refused,
        done => return done,
    };
    let rest = text.trim_start().strip_prefix('{').ok_or(refused)?;
    let mut matchers = selector(&format!("{{_=\"_\",{rest}"), features)?;
    matchers.retain(|it| it.name != "_");
    Ok(matchers)
}

/// Looks up and writes the answer, on a thread where that holds up no other.
async fn found(
    api: &Arc<Api>,
    params: &Params,
    asked: Asked,
    look: impl Fn(&Recent, &Asked) -> Result<Vec<u8>, SelectError> + Send + Sync + 'static,
) -> Result<Response, PromError> {
    let view = api.covered_prometheus(params).await?;
    let look = move |store: &Store, share| {
        // Without a selector it is told from the index of names and values alone.
        let here = share == Share::All || asked.sets.is_empty();
        here.then(|| look(store.recent(), &asked).map_err(|error| refusal(&error)))
    };
    let done = api.work(look).await?;
    Ok(json_answer(done?, view.covers))
}

/// A label's name as clients write it in a path: with `U__` in front, `__` is `_` and `_263a_` the character of that number.
///
/// Source: Prometheus, `common/model`, `UnescapeName`.
fn unescaped(name: &str) -> String {
    let Some(mut left) = name.strip_prefix("U__") else { return name.into() };
    let mut plain = String::new();
    while let Some((before, after)) = left.split_once('_') {
        plain.push_str(before);
        if let Some(rest) = after.strip_prefix('_') {
            plain.push('_');
            left = rest;
            continue;
        }
        let character = after.split_once('_').and_then(|(number, rest)| {
            let number = u32::from_str_radix(number, 16).ok().filter(|_| number.len() <= 6)?;
            Some((char::from_u32(number)?, rest))
        });
        // What is not written that way is meant as it stands.
        let Some((character, rest)) = character else { return name.into() };
        plain.push(character);
        left = rest;
    }
    plain + left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_as_in_prometheus() {
        for (name, plain) in [
            ("job", "job"),
            ("U__a_2e_b", "a.b"),
            ("U__my__label", "my_label"),
            ("U__a_zz_b", "U__a_zz_b"),
            ("U__a_b", "U__a_b"),
            ("U__", ""),
        ] {
            assert_eq!(unescaped(name), plain, "{name}");
        }
    }

    #[test]
    fn targets_may_be_matched_by_what_they_are_not() {
        let names = |text| any_selector(text, Features::NONE).map(|all| all.iter().map(|it| it.name.clone()).collect());
        for (text, expected) in [("{}", &[][..]), (" {a!=\"b\"}", &["a"]), ("{a!=\"b\",c=~\".*\"}", &["a", "c"])] {
            assert_eq!(names(text), Ok(expected.iter().map(|name| name.to_string()).collect::<Vec<_>>()), "{text}");
        }
        assert_eq!(names("up"), Ok(vec!["__name__".to_string()]));
        assert!(names("{").is_err() && names("sum(up)").is_err());
    }

    #[test]
    fn only_selectors_are_taken() {
        assert_eq!(selector("up", Features::NONE).unwrap().len(), 1);
        assert_eq!(selector("{a=~\"b|c\", d!=\"\"}", Features::NONE).unwrap().len(), 2);
        for text in ["sum(up)", "(up)", "up offset 5m", "up @ 5", "up[5m]", "up + 1", "1", "{}", "{a=~\".*\"}", "up{"] {
            assert!(selector(text, Features::NONE).is_err(), "{text}");
        }
    }
}
