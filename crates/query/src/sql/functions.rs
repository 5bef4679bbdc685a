//! The functions that queries may call: those that compute from what they are given, and nothing that tells of the
//! process or the machine.
//!
//! A function that makes text or lists can make far more of them than it is given, and operators do not count what
//! functions make until it is theirs. So each of them is [`Bounded`]: it is asked what it would make before it makes
//! it, and what lives of that is counted as the query's memory.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::kernels::concat_elements::concat_elements_utf8;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::SessionStateDefaults as Defaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::growth::{Growth, Ledger};

/// Scalar functions that give numbers, moments or truth, or a part of what they are given.
const PLAIN: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "array_any_value",
    "array_avg",
    "array_dims",
    "array_distance",
    "array_element",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_length",
    "array_max",
    "array_min",
    "array_ndims",
    "array_position",
    "array_product",
    "array_slice",
    "array_sum",
    "arrow_typeof",
    "ascii",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bit_length",
    "cardinality",
    "cbrt",
    "ceil",
    "character_length",
    "chr",
    "coalesce",
    "contains",
    "cos",
    "cosh",
    "cot",
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "degrees",
    "empty",
    "ends_with",
    "exp",
    "factorial",
    "find_in_set",
    "floor",
    "from_unixtime",
    "gcd",
    "get_field",
    "greatest",
    "isnan",
    "iszero",
    "lcm",
    "least",
    "ln",
    "log",
    "log10",
    "log2",
    "make_date",
    "make_time",
    "map_keys",
    "map_values",
    "nanvl",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "pi",
    "power",
    "radians",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "round",
    "signum",
    "sin",
    "sinh",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "tan",
    "tanh",
    "to_date",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "trunc",
];

/// Scalar functions that make text or lists.
const GROWING: &[(&str, Growth)] = &[
    ("array_append", Growth::Sum),
    ("array_compact", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_distinct", Growth::Sum),
    ("array_except", Growth::Sum),
    ("array_intersect", Growth::Sum),
    ("array_pop_back", Growth::Sum),
    ("array_pop_front", Growth::Sum),
    ("array_positions", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_remove", Growth::Sum),
    ("array_remove_all", Growth::Sum),
    ("array_remove_n", Growth::Sum),
    ("array_replace", Growth::Sum),
    ("array_replace_n", Growth::Sum),
    ("array_reverse", Growth::Sum),
    ("array_sort", Growth::Sum),
    ("array_to_string", Growth::Joined),
    ("array_union", Growth::Sum),
    ("arrays_zip", Growth::Sum),
    ("btrim", Growth::Sum),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Separated),
    ("decode", Growth::Sum),
    ("encode", Growth::Encoded),
    ("flatten", Growth::Sum),
    ("initcap", Growth::Sum),
    ("left", Growth::Sum),
    ("lower", Growth::Sum),
    ("lpad", Growth::Padded),
    ("ltrim", Growth::Sum),
    ("make_array", Growth::Sum),
    ("map", Growth::Sum),
    ("map_entries", Growth::Sum),
    ("map_extract", Growth::Sum),
    ("named_struct", Growth::Sum),
    ("overlay", Growth::Sum),
    ("regexp_match", Growth::Matched),
    ("regexp_replace", Growth::Replaced),
    ("repeat", Growth::Repeated),
    ("replace", Growth::Replaced),
    ("reverse", Growth::Sum),
    ("right", Growth::Sum),
    ("rpad", Growth::Padded),
    ("rtrim", Growth::Sum),
    ("string_to_array", Growth::Cut),
    ("struct", Growth::Sum),
    ("to_char", Growth::Formatted),
    ("to_hex", Growth::Sum),
    ("translate", Growth::Sum),
    ("upper", Growth::Sum),
];

/// Functions that there are and queries may not call: they tell of the build or of files, take random numbers, make
/// types of any width, or take time that grows with the square of their text.
#[cfg(test)]
const REFUSED: &[&str] = &[
    "array_add",
    "array_normalize",
    "array_repeat",
    "array_replace_all",
    "array_resize",
    "array_scale",
    "array_subtract",
    "arrow_cast",
    "arrow_field",
    "arrow_metadata",
    "arrow_try_cast",
    "cast_to_type",
    "cosine_distance",
    "file_row_index",
    "generate_series",
    "inner_product",
    "input_file_name",
    "levenshtein",
    "random",
    "range",
    "try_cast_to_type",
    "union_extract",
    "union_tag",
    "uuid",
    "version",
    "with_metadata",
];

static PLAIN_SET: LazyLock<HashSet<&'static str>> = LazyLock::new(|| PLAIN.iter().copied().collect());

fn growth(name: &str) -> Option<Growth> {
    GROWING.iter().find(|(known, _)| *known == name).map(|(_, growth)| *growth)
}

/// Gives a session its functions, those that grow bounded by the ledger.
pub(crate) fn with_functions(builder: SessionStateBuilder, ledger: &Arc<Ledger>) -> SessionStateBuilder {
    let scalar = Defaults::default_scalar_functions().into_iter().filter_map(|function| {
        match growth(function.name()) {
            Some(growth) => Some(bounded(&function, growth, ledger)),
            None => PLAIN_SET.contains(function.name()).then_some(function),
        }
    });
    builder
        .with_scalar_functions(scalar.collect())
        .with_aggregate_functions(Defaults::default_aggregate_functions())
        .with_window_functions(Defaults::default_window_functions())
        .with_table_function_list(Defaults::default_table_functions())
        .with_expr_planners(Defaults::default_expr_planners())
}

fn bounded(function: &Arc<ScalarUDF>, growth: Growth, ledger: &Arc<Ledger>) -> Arc<ScalarUDF> {
    let (function, ledger) = (Arc::clone(function), Arc::clone(ledger));
    Arc::new(ScalarUDF::new_from_impl(Bounded { function, growth, ledger }))
}

/// The function to call in the place of one that the planner or the optimizer made without asking the session; none
/// where it may stay.
///
/// # Errors
/// When queries may not call it.
pub(crate) fn in_place_of(function: &Arc<ScalarUDF>, ledger: &Arc<Ledger>) -> Result<Option<Arc<ScalarUDF>>> {
    let name = function.name();
    if function.inner().is::<Bounded>() || PLAIN_SET.contains(name) {
        return Ok(None);
    }
    match growth(name) {
        Some(growth) => Ok(Some(bounded(function, growth, ledger))),
        None => plan_err!("queries may not call function {name}"),
    }
}

/// What `a || b` of texts is; `a || b || c` is one call.
pub(crate) fn joined(left: Expr, right: Expr, ledger: &Arc<Ledger>) -> Expr {
    if let Expr::ScalarFunction(mut call) = left {
        if call.func.name() == JOINED {
            call.args.push(right);
            return Expr::ScalarFunction(call);
        }
        return join(vec![Expr::ScalarFunction(call), right], ledger);
    }
    join(vec![left, right], ledger)
}

fn join(texts: Vec<Expr>, ledger: &Arc<Ledger>) -> Expr {
    let signature = Signature::user_defined(Volatility::Immutable);
    bounded(&Arc::new(ScalarUDF::new_from_impl(Joined { signature })), Growth::Sum, ledger).call(texts)
}

/// The name of the operator as a function.
const JOINED: &str = "||";

/// A function that asks the ledger for room before it makes anything.
#[derive(Clone, Debug)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
    ledger: Arc<Ledger>,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function && Arc::ptr_eq(&self.ledger, &other.ledger)
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.inner().schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.inner().return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.inner().coerce_types(arg_types)
    }

    // What simplifying would make is not bounded: the call stays as it is, but for what it is of constants.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.growth.bytes(&args);
        let room = self.ledger.room(self.name(), bytes)?;
        let made = self.function.inner().invoke_with_args(args)?;
        room.keep(&made)?;
        Ok(made)
    }
}

/// `a || b` of texts; null where any is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &'static str {
        JOINED
    }

    // As the operator is named, whose place it takes.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        for one in arg_types {
            if one.is_nested() || one.is_binary() {
                return plan_err!("|| joins texts, and lists with lists; one side is {one}");
            }
        }
        Ok(vec![DataType::Utf8; arg_types.len()])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut texts = arrays.iter();
        let Some(first) = texts.next() else { return plan_err!("|| has two sides") };
        let mut joined: StringArray = first.as_string::<i32>().clone();
        for text in texts {
            joined = concat_elements_utf8(&joined, text.as_string())?;
        }
        let joined: ArrayRef = Arc::new(joined);
        match is_constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?)),
            false => Ok(ColumnarValue::Array(joined)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_decided_of_every_function_whether_queries_may_call_it() {
        let there: BTreeSet<String> =
            Defaults::default_scalar_functions().iter().map(|function| function.name().to_owned()).collect();
        let growing = GROWING.iter().map(|(name, _)| *name);
        let decided: Vec<String> =
            PLAIN.iter().copied().chain(growing).chain(REFUSED.iter().copied()).map(str::to_owned).collect();
        let once: BTreeSet<String> = decided.iter().cloned().collect();
        assert_eq!(decided.len(), once.len(), "a function stands in one list");
        let undecided: Vec<&String> = there.difference(&once).collect();
        assert!(undecided.is_empty(), "{undecided:?}");
    }
}
