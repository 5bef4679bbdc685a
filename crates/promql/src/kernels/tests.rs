//! Kernels on small series.

use model::metric::STALE_NAN_BITS;

use super::*;

fn windows(start_ms: i64, end_ms: i64, step_ms: i64, range_ms: i64) -> Windows {
    let steps = Steps::range(start_ms, end_ms, step_ms).unwrap();
    Windows { steps, range_ms, offset_ms: 0, at_ms: None, margin: Margin::default() }
}

fn values(kernel: &Kernel, windows: &Windows, timestamps_ms: &[i64], values: &[f64]) -> Vec<Option<f64>> {
    let samples = SeriesSamples { timestamps_ms, values, ..SeriesSamples::default() };
    let out = run(kernel, windows, Labels::empty(), samples, &mut Annotations::default());
    (0..windows.steps.count).map(|step| out.float(step)).collect()
}

#[test]
fn windows_are_open_on_the_left() {
    let kernel = Kernel::Range(RangeFunction::Count, Vec::new());
    let counts = values(&kernel, &windows(10, 40, 10, 20), &[0, 10, 20, 30], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(counts, [Some(2.0), Some(2.0), Some(2.0), Some(1.0)]);
}

#[test]
fn a_marker_ends_an_instant_series_and_is_no_sample_of_a_range() {
    let stale = f64::from_bits(STALE_NAN_BITS);
    let (at, with_marker) = ([0, 10, 20], [1.0, stale, 3.0]);
    let instant = values(&Kernel::Instant, &windows(0, 30, 10, 100), &at, &with_marker);
    assert_eq!(instant, [Some(1.0), None, Some(3.0), Some(3.0)]);
    let count = Kernel::Range(RangeFunction::Count, Vec::new());
    assert_eq!(values(&count, &windows(20, 20, 10, 100), &at, &with_marker), [Some(2.0)]);
}

#[test]
fn rates_extrapolate_and_survive_resets() {
    let at: Vec<i64> = (0..=10).map(|i| i * 60_000).collect();
    let rising: Vec<f64> = (0..=10).map(|i| f64::from(i) * 10.0).collect();
    let increase = Kernel::Range(RangeFunction::Increase, Vec::new());
    assert_eq!(values(&increase, &windows(600_000, 600_000, 60_000, 300_000), &at, &rising), [Some(50.0)]);
    let reset = [0.0, 10.0, 20.0, 5.0, 15.0, 25.0];
    let resets = Kernel::Range(RangeFunction::Resets, Vec::new());
    assert_eq!(values(&resets, &windows(300_000, 300_000, 60_000, 600_000), &at[..6], &reset), [Some(1.0)]);
    let got = values(&increase, &windows(300_000, 300_000, 60_000, 300_000), &at[..6], &reset);
    assert_eq!(got, [Some(35.0 * 1.25)]);
}

#[test]
fn sliding_extremes_are_those_of_each_window() {
    let at: Vec<i64> = (0..40).map(|i| i * 10).collect();
    let numbers: Vec<f64> = (0..40).map(|i| f64::from((i * 17) % 23)).collect();
    let windows = windows(0, 450, 10, 70);
    for (function, pick) in
        [(RangeFunction::Min, f64::min as fn(f64, f64) -> f64), (RangeFunction::Max, f64::max)]
    {
        let got = values(&Kernel::Range(function, Vec::new()), &windows, &at, &numbers);
        for (step, value) in got.into_iter().enumerate() {
            let (from, to) = windows.bounds(step);
            let inside = at.iter().zip(&numbers).filter(|(at, _)| **at > from && **at <= to);
            assert_eq!(value, inside.map(|(_, value)| *value).reduce(pick), "{function:?} {step}");
        }
    }
}
