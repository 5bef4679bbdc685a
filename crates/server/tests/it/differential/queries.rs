//! The queries: some written, most put together of what there is of each kind.

/// Every query once.
pub(super) fn all() -> Vec<String> {
    let mut all: Vec<String> = WRITTEN.into_iter().map(str::to_owned).collect();
    over_windows(&mut all);
    aggregations(&mut all);
    operators(&mut all);
    functions(&mut all);
    all
}

fn over_windows(all: &mut Vec<String>) {
    let counters = ["requests_total", "latency_seconds_count{job=\"api\"}", "requests_total{code!~\"2..\"}"];
    for function in ["rate", "increase", "irate", "resets", "changes"] {
        for (counter, range) in counters.iter().zip(["2m", "5m", "11m"]) {
            all.push(format!("{function}({counter}[{range}])"));
            all.push(format!("sum by (job) ({function}({counter}[{range}] offset 3m))"));
        }
    }
    for function in [
        "delta",
        "idelta",
        "deriv",
        "changes",
        "resets",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "last_over_time",
        "present_over_time",
        "absent_over_time",
    ] {
        for selector in ["load{job=\"api\"}[4m]", "load[13m]", "load{zone=\"s\"}[7m] offset -2m"] {
            all.push(format!("{function}({selector})"));
        }
        all.push(format!("{function}(load[10m:33s])"));
    }
}

fn aggregations(all: &mut Vec<String>) {
    for aggregation in ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"] {
        for (grouping, inner) in [
            ("", "load"),
            ("by (job)", "requests_total"),
            ("without (instance, code)", "requests_total"),
            ("by (zone, nothing)", "load{instance!=\"c\"}"),
            ("by (job)", "rate(requests_total[5m])"),
        ] {
            all.push(format!("{aggregation} {grouping} ({inner})"));
        }
    }
}

fn operators(all: &mut Vec<String>) {
    for operator in ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">="] {
        // The name goes with `atan2` in 3, and does not in 2.42.
        let named = |query: String| match operator {
            "atan2" => format!("sum without (nothing) ({query})"),
            _ => query,
        };
        all.push(named(format!("load {operator} 20")));
        all.push(named(format!("3 {operator} load{{zone=\"n\"}}")));
        all.push(named(format!("load {operator} on (instance, job) build_info")));
        let of_many = format!("requests_total {operator} ignoring (code) group_left latency_seconds_count");
        all.push(named(of_many));
    }
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        all.push(format!("load {operator} bool 20"));
        all.push(format!("load {operator} bool on (instance, job) build_info"));
        all.push(format!("1 {operator} bool 2"));
    }
    for operator in ["and", "or", "unless"] {
        all.push(format!("requests_total{{code=\"200\"}} {operator} requests_total{{job=\"db\"}}"));
        all.push(format!("load {operator} on (job) (build_info{{version=\"2.0\"}} > 0)"));
        all.push(format!("load {operator} ignoring (zone, version) build_info{{version=~\"1.*\"}}"));
    }
}

fn functions(all: &mut Vec<String>) {
    for function in [
        "abs",
        "ceil",
        "floor",
        "exp",
        "ln",
        "log2",
        "log10",
        "sqrt",
        "sgn",
        "deg",
        "rad",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "round",
        "timestamp",
    ] {
        all.push(format!("{function}(load / 16)"));
    }
    for function in
        ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"]
    {
        all.push(format!("{function}()"));
        all.push(format!("{function}(requests_total * 86400)"));
    }
    for quantile in ["0.01", "0.5", "0.9", "0.999", "1", "-1", "2"] {
        all.push(format!("histogram_quantile({quantile}, latency_seconds_bucket)"));
        all.push(format!(
            "histogram_quantile({quantile}, sum by (le, job) (rate(latency_seconds_bucket[5m])))"
        ));
        all.push(format!("quantile({quantile}, load)"));
        all.push(format!("quantile by (job) ({quantile}, requests_total)"));
        all.push(format!("quantile_over_time({quantile}, load{{job=\"api\"}}[6m])"));
    }
}

const WRITTEN: [&str; 62] = [
    "load",
    "{__name__=~\"load|build_info\", instance=\"a\"}",
    "{job=\"api\", code=\"\", le=\"\"}",
    "load{instance=~\"a|b\", zone!~\"s.*\"}",
    "requests_total offset 10m",
    "requests_total offset -5m",
    "nothing",
    "1",
    "-1 ^ 2",
    "2 ^ 3 ^ 2",
    "-(2 + 3 * 4 % 5) / 7",
    "\"a text\"",
    "time()",
    "time() - timestamp(load)",
    "pi()",
    "vector(3)",
    "scalar(load{instance=\"a\", job=\"api\"})",
    "scalar(load)",
    "vector(scalar(sum(load{job=\"api\", instance!=\"c\"})))",
    "absent(nothing{job=\"x\", instance=~\"y\"})",
    "absent(load)",
    "absent(sum(nothing))",
    "absent_over_time(nothing{job=\"x\"}[5m])",
    "sort(load{instance!=\"c\"})",
    "sort_desc(load{instance!=\"c\"})",
    "topk(2, load{instance!=\"c\"})",
    "topk by (job) (1, load{instance!=\"c\"})",
    "bottomk(3, requests_total)",
    "bottomk without (code, instance) (1, requests_total)",
    "topk(0, load)",
    "topk(scalar(count(build_info)), requests_total)",
    "count_values(\"version\", build_info)",
    "count_values by (job) (\"value\", round(load{instance!=\"c\"}, 5))",
    "clamp(load, 18, 22)",
    "clamp(load, 22, 18)",
    "clamp_min(load, 20)",
    "clamp_max(load, 20)",
    "round(load, 0.25)",
    "label_replace(load, \"place\", \"$1-$2\", \"instance\", \"(.)(.*)\")",
    "label_replace(load, \"zone\", \"\", \"zone\", \"n\")",
    "label_join(load, \"all\", \"/\", \"job\", \"instance\", \"nothing\")",
    "predict_linear(load{job=\"api\"}[10m], 600)",
    "deriv(requests_total[10m])",
    "-load",
    "+load",
    "sum(rate(requests_total{code=~\"5..\"}[5m])) / sum(rate(requests_total[5m]))",
    "sum by (job) (rate(latency_seconds_sum[5m])) / sum by (job) (rate(latency_seconds_count[5m]))",
    "requests_total / ignoring (code) group_left sum without (code) (requests_total)",
    "load * on (instance, job) group_left (version) build_info",
    "build_info * on (instance, job) group_right (version) load",
    "load / on (job) load",
    "load + on (job) group_left requests_total",
    "load @ end()",
    "rate(requests_total[5m] @ start())",
    "sum_over_time(load[5m:1m] @ end() offset 2m)",
    "max_over_time(rate(requests_total[2m])[10m:40s])",
    "avg_over_time(sum by (job) (load{instance!=\"c\"})[10m:])",
    "rate(sum_over_time(requests_total[59s:15s])[5m:1m])",
    "min_over_time((load > 20)[10m:1m])",
    "rate(load)",
    "sum(load[5m])",
    "load +",
];
