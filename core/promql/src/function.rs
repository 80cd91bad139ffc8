//! The functions and aggregations of the language: names, argument types and what is evaluated.
use crate::Type;
use Type::{Matrix, Scalar, Text, Vector};

/// A function's name and types.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    /// Types of the arguments; the last one repeats or may be left out as `optional` says.
    pub(crate) arguments: &'static [Type],
    /// How many more than `arguments.len() - 1` arguments there may be; `None` if exactly `arguments.len()`.
    pub(crate) optional: Option<usize>,
    pub(crate) result: Type,
}

/// Any number of further arguments.
const ANY: Option<usize> = Some(usize::MAX);

macro_rules! functions {
    ($($id:ident $name:literal ($($arg:ident),*) $optional:expr => $result:ident;)*
     ; unsupported $($other:literal)*) => {
        /// A function that is evaluated.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Func { $($id),* }

        impl Func {
            /// The function's name and types.
            pub(crate) fn signature(self) -> &'static Signature {
                match self {
                    $(Func::$id => &Signature { name: $name, arguments: &[$($arg),*], optional: $optional, result: $result },)*
                }
            }

            /// The function of that name.
            pub(crate) fn of(name: &str) -> Option<Func> {
                match name {
                    $($name => Some(Func::$id),)*
                    _ => None,
                }
            }
        }

        /// Functions of Prometheus 3 that are not evaluated: most of the experimental ones.
        pub(crate) const UNSUPPORTED: &[&str] = &[$($other),*];
    };
}

functions! {
    Abs "abs" (Vector) None => Vector;
    Absent "absent" (Vector) None => Vector;
    AbsentOverTime "absent_over_time" (Matrix) None => Vector;
    Acos "acos" (Vector) None => Vector;
    Acosh "acosh" (Vector) None => Vector;
    Asin "asin" (Vector) None => Vector;
    Asinh "asinh" (Vector) None => Vector;
    Atan "atan" (Vector) None => Vector;
    Atanh "atanh" (Vector) None => Vector;
    AvgOverTime "avg_over_time" (Matrix) None => Vector;
    Ceil "ceil" (Vector) None => Vector;
    Changes "changes" (Matrix) None => Vector;
    Clamp "clamp" (Vector, Scalar, Scalar) None => Vector;
    ClampMax "clamp_max" (Vector, Scalar) None => Vector;
    ClampMin "clamp_min" (Vector, Scalar) None => Vector;
    Cos "cos" (Vector) None => Vector;
    Cosh "cosh" (Vector) None => Vector;
    CountOverTime "count_over_time" (Matrix) None => Vector;
    DayOfMonth "day_of_month" (Vector) Some(1) => Vector;
    DayOfWeek "day_of_week" (Vector) Some(1) => Vector;
    DayOfYear "day_of_year" (Vector) Some(1) => Vector;
    DaysInMonth "days_in_month" (Vector) Some(1) => Vector;
    Deg "deg" (Vector) None => Vector;
    Delta "delta" (Matrix) None => Vector;
    Deriv "deriv" (Matrix) None => Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" (Matrix, Scalar, Scalar) None => Vector;
    End "end" () None => Scalar;
    Exp "exp" (Vector) None => Vector;
    FirstOverTime "first_over_time" (Matrix) None => Vector;
    Floor "floor" (Vector) None => Vector;
    HistogramAvg "histogram_avg" (Vector) None => Vector;
    HistogramCount "histogram_count" (Vector) None => Vector;
    HistogramFraction "histogram_fraction" (Scalar, Scalar, Vector) None => Vector;
    HistogramQuantile "histogram_quantile" (Scalar, Vector) None => Vector;
    HistogramQuantiles "histogram_quantiles" (Vector, Text, Scalar, Scalar) Some(9) => Vector;
    HistogramStddev "histogram_stddev" (Vector) None => Vector;
    HistogramStdvar "histogram_stdvar" (Vector) None => Vector;
    HistogramSum "histogram_sum" (Vector) None => Vector;
    Hour "hour" (Vector) Some(1) => Vector;
    Idelta "idelta" (Matrix) None => Vector;
    Increase "increase" (Matrix) None => Vector;
    Info "info" (Vector, Vector) Some(1) => Vector;
    Irate "irate" (Matrix) None => Vector;
    LabelJoin "label_join" (Vector, Text, Text, Text) ANY => Vector;
    LabelReplace "label_replace" (Vector, Text, Text, Text, Text) None => Vector;
    LastOverTime "last_over_time" (Matrix) None => Vector;
    Ln "ln" (Vector) None => Vector;
    Log10 "log10" (Vector) None => Vector;
    Log2 "log2" (Vector) None => Vector;
    MadOverTime "mad_over_time" (Matrix) None => Vector;
    MaxOf "max_of" (Scalar, Scalar) None => Scalar;
    MaxOverTime "max_over_time" (Matrix) None => Vector;
    MinOf "min_of" (Scalar, Scalar) None => Scalar;
    MinOverTime "min_over_time" (Matrix) None => Vector;
    Minute "minute" (Vector) Some(1) => Vector;
    Month "month" (Vector) Some(1) => Vector;
    Pi "pi" () None => Scalar;
    PredictLinear "predict_linear" (Matrix, Scalar) None => Vector;
    PresentOverTime "present_over_time" (Matrix) None => Vector;
    QuantileOverTime "quantile_over_time" (Scalar, Matrix) None => Vector;
    Rad "rad" (Vector) None => Vector;
    RangeOf "range" () None => Scalar;
    Rate "rate" (Matrix) None => Vector;
    Resets "resets" (Matrix) None => Vector;
    Round "round" (Vector, Scalar) Some(1) => Vector;
    ScalarOf "scalar" (Vector) None => Scalar;
    Sgn "sgn" (Vector) None => Vector;
    Sin "sin" (Vector) None => Vector;
    Sinh "sinh" (Vector) None => Vector;
    Sort "sort" (Vector) None => Vector;
    SortByLabel "sort_by_label" (Vector, Text) ANY => Vector;
    SortByLabelDesc "sort_by_label_desc" (Vector, Text) ANY => Vector;
    SortDesc "sort_desc" (Vector) None => Vector;
    Sqrt "sqrt" (Vector) None => Vector;
    Start "start" () None => Scalar;
    StartTimestamp "start_timestamp" (Vector) None => Vector;
    StddevOverTime "stddev_over_time" (Matrix) None => Vector;
    StdvarOverTime "stdvar_over_time" (Matrix) None => Vector;
    StepOf "step" () None => Scalar;
    SumOverTime "sum_over_time" (Matrix) None => Vector;
    Tan "tan" (Vector) None => Vector;
    Tanh "tanh" (Vector) None => Vector;
    Time "time" () None => Scalar;
    Timestamp "timestamp" (Vector) None => Vector;
    TsOfFirstOverTime "ts_of_first_over_time" (Matrix) None => Vector;
    TsOfLastOverTime "ts_of_last_over_time" (Matrix) None => Vector;
    TsOfMaxOverTime "ts_of_max_over_time" (Matrix) None => Vector;
    TsOfMinOverTime "ts_of_min_over_time" (Matrix) None => Vector;
    VectorOf "vector" (Scalar) None => Vector;
    Year "year" (Vector) Some(1) => Vector;
    ; unsupported
}

impl Func {
    /// Whether Prometheus has it as an experiment.
    pub(crate) fn is_experimental(self) -> bool {
        use Func::{
            DoubleExponentialSmoothing, End, HistogramQuantiles, Info, MadOverTime, MaxOf, MinOf, RangeOf, SortByLabel,
            SortByLabelDesc, Start, StartTimestamp, StepOf, TsOfFirstOverTime, TsOfLastOverTime, TsOfMaxOverTime,
            TsOfMinOverTime,
        };
        matches!(
            self,
            DoubleExponentialSmoothing
                | End
                | HistogramQuantiles
                | Info
                | MadOverTime
                | MaxOf
                | MinOf
                | RangeOf
                | SortByLabel
                | SortByLabelDesc
                | Start
                | StartTimestamp
                | StepOf
                | TsOfFirstOverTime
                | TsOfLastOverTime
                | TsOfMaxOverTime
                | TsOfMinOverTime
        )
    }
}

/// An aggregation across series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
    Limitk,
    LimitRatio,
}

impl AggOp {
    const ALL: &[(AggOp, &str)] = &[
        (AggOp::Avg, "avg"),
        (AggOp::Bottomk, "bottomk"),
        (AggOp::Count, "count"),
        (AggOp::CountValues, "count_values"),
        (AggOp::Group, "group"),
        (AggOp::Max, "max"),
        (AggOp::Min, "min"),
        (AggOp::Quantile, "quantile"),
        (AggOp::Stddev, "stddev"),
        (AggOp::Stdvar, "stdvar"),
        (AggOp::Sum, "sum"),
        (AggOp::Topk, "topk"),
        (AggOp::Limitk, "limitk"),
        (AggOp::LimitRatio, "limit_ratio"),
    ];

    /// The aggregation of that name, in any case.
    pub(crate) fn of(name: &str) -> Option<AggOp> {
        Self::ALL.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(op, _)| *op)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, name)| name)
    }

    /// Whether Prometheus has it as an experiment.
    pub(crate) fn is_experimental(self) -> bool {
        matches!(self, AggOp::Limitk | AggOp::LimitRatio)
    }

    /// The type of its parameter, where it has one.
    pub(crate) fn parameter(self) -> Option<Type> {
        match self {
            AggOp::CountValues => Some(Text),
            AggOp::Topk | AggOp::Bottomk | AggOp::Quantile | AggOp::Limitk | AggOp::LimitRatio => Some(Scalar),
            _ => None,
        }
    }
}
