//! What the SDK counted, asked back in PromQL: the names and labels are those of Prometheus' OTLP receiver.

use serde_json::Value;

use crate::client::{Api, Client, array, labels, number, texts};
use crate::sdk::Run;

/// The seconds that item `i` is said to have taken.
fn duration(item: usize) -> f64 {
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75][item % 8]
}

pub(crate) async fn check(client: &Client, run: &Run) {
    let sent = &run.report["metrics"];
    let number_of = |instrument: &str, field: &str| sent[instrument][field].as_f64().unwrap();
    let name = &run.name;
    let of = |metric: &str| format!("{metric}{{run=\"{name}\"}}");
    let table = [
        (of("shop_orders_total"), number_of("counter", "total")),
        (of("shop_orders_open"), number_of("up_down_counter", "value")),
        (of("shop_stock_ratio"), number_of("gauge", "value")),
        (of("shop_request_duration_seconds_count"), number_of("histogram", "count")),
        (of("shop_request_duration_seconds_sum"), number_of("histogram", "sum")),
        (
            format!("histogram_count({})", of("shop_request_size_bytes")),
            number_of("exponential_histogram", "count"),
        ),
        (
            format!("histogram_sum({})", of("shop_request_size_bytes")),
            number_of("exponential_histogram", "sum"),
        ),
        (format!("target_info{{instance=\"{name}\"}}"), 1.0),
        (format!("sum_over_time({}[5m])", of("shop_orders_total")), number_of("counter", "total")),
        (format!("{} * 2 + 1", of("shop_orders_total")), number_of("counter", "total") * 2.0 + 1.0),
    ];
    for (query, want) in table {
        assert_eq!(client.value(&query).await, want, "{query}");
    }
    check_identity(client, run).await;
    check_classic_histogram(client, run).await;
    check_native_histogram(client, run).await;
}

async fn check_identity(client: &Client, run: &Run) {
    let found = client.promql(&format!("shop_orders_total{{run=\"{}\"}}", run.name)).await;
    let want = [
        ("__name__", "shop_orders_total"),
        ("instance", run.name.as_str()),
        ("job", "demo/shop"),
        ("run", run.name.as_str()),
    ];
    let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(labels(&found[0]["metric"]), want.into_iter().collect());

    let query = format!("target_info{{instance=\"{}\", job=\"demo/shop\"}}", run.name);
    let target = labels(&client.promql(&query).await[0]["metric"]);
    assert_eq!(target["deployment_environment"], "test");
    assert_eq!(target["host_cores"], "2");
    let joined = format!("shop_orders_total * on (job, instance) group_left (host_cores) {query}");
    assert_eq!(labels(&client.promql(&joined).await[0]["metric"])["host_cores"], "2", "{joined}");
}

async fn check_classic_histogram(client: &Client, run: &Run) {
    let bounds = [("0.1", 0.1), ("0.5", 0.5), ("1", 1.0), ("+Inf", f64::INFINITY)];
    for (le, bound) in bounds {
        let want = (0..run.count).filter(|item| duration(*item) <= bound).count();
        let query = format!("shop_request_duration_seconds_bucket{{run=\"{}\", le=\"{le}\"}}", run.name);
        assert_eq!(client.value(&query).await, want as f64, "{query}");
    }
    let query = format!("shop_request_duration_seconds_bucket{{run=\"{}\"}}", run.name);
    assert_eq!(client.vector(&query).await.len(), bounds.len());
    let query = format!("histogram_quantile(0.1, {query})");
    let quantile = client.value(&query).await;
    assert!((0.0..=0.1).contains(&quantile), "{query} is {quantile}");
}

/// Sizes are powers of two from 1 to 32768, which lie in one bucket each.
async fn check_native_histogram(client: &Client, run: &Run) {
    let query = format!("shop_request_size_bytes{{run=\"{}\"}}", run.name);
    let found = client.promql(&query).await;
    let [sample] = array(&found) else { panic!("{query}: {found}") };
    assert!(sample["value"].is_null(), "a native histogram has no float: {sample}");
    let histogram = &sample["histogram"][1];
    assert_eq!(number(&histogram["count"]), run.count as f64);
    let buckets = array(&histogram["buckets"]);
    assert_eq!(buckets.len(), run.count.min(16), "{histogram}");
    for (exponent, bucket) in buckets.iter().enumerate() {
        let want = (0..run.count).filter(|item| item % 16 == exponent).count();
        let (size, bounds) =
            (2_f64.powi(i32::try_from(exponent).unwrap()), (number(&bucket[1]), number(&bucket[2])));
        // Computed bounds may be off in the last digit.
        assert!(bounds.0 < size && size <= bounds.1 * (1.0 + 1e-12), "{size} is not in {bucket}");
        assert_eq!(number(&bucket[3]), want as f64, "{bucket}");
    }
    let query = format!("histogram_quantile(1, {query})");
    let (quantile, largest) = (client.value(&query).await, 2_f64.powi(run.count.min(16) as i32 - 1));
    assert!((quantile / largest - 1.0).abs() < 0.1, "{query} is {quantile}");
}

pub(crate) async fn check_together(client: &Client, runs: &[Run]) {
    let total: usize = runs.iter().map(|run| run.count).sum();
    assert_eq!(client.value("sum(shop_orders_total)").await, total as f64);
    assert_eq!(client.value("sum by (job) (shop_orders_total)").await, total as f64);
    assert_eq!(client.value("count(shop_orders_total)").await, runs.len() as f64);
    assert_eq!(client.value("histogram_count(sum(shop_request_size_bytes))").await, total as f64);
    let query = "sum by (le) (shop_request_duration_seconds_bucket)";
    assert_eq!(
        client.vector(query).await.last().unwrap().1,
        total as f64 - over_a_second(runs),
        "le=1 comes last"
    );

    let names = client.metric_label_values("__name__").await;
    let wanted = [
        "shop_orders_open",
        "shop_orders_total",
        "shop_request_duration_seconds_bucket",
        "shop_request_duration_seconds_count",
        "shop_request_duration_seconds_sum",
        "shop_request_size_bytes",
        "shop_stock_ratio",
        "target_info",
    ];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    let selected = [("match[]", "shop_request_duration_seconds_bucket")];
    let answer = client.get(Api::Prometheus, "/api/v1/labels", &selected).await.json();
    let label_names = texts(&answer["data"]);
    assert_eq!(
        label_names.iter().map(String::as_str).collect::<Vec<_>>(),
        ["__name__", "instance", "job", "le", "run"]
    );
    check_metadata(client).await;
}

/// How many items took longer than a second.
fn over_a_second(runs: &[Run]) -> f64 {
    runs.iter().flat_map(|run| 0..run.count).filter(|item| duration(*item) > 1.0).count() as f64
}

async fn check_metadata(client: &Client) {
    let metadata = client.get(Api::Prometheus, "/api/v1/metadata", &[]).await.json();
    let table = [
        ("shop_orders_total", "counter", "Orders taken"),
        ("shop_orders_open", "gauge", "Orders not yet sent"),
        ("shop_stock_ratio", "gauge", "Items in stock"),
        ("shop_request_size_bytes", "histogram", "How large a request is"),
    ];
    for (metric, kind, help) in table {
        let told: &[Value] = array(&metadata["data"][metric]);
        let [told] = told else { panic!("{metric}: {metadata}") };
        assert_eq!((told["type"].as_str(), told["help"].as_str()), (Some(kind), Some(help)), "{metric}");
    }
}
