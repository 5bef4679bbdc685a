//! What is packed comes back bit for bit, and the offsets are as close as they are said to be.

use arrow::array::UInt32Array;
use proptest::prelude::*;

use super::*;

type Sample = (u32, i64, f64);

fn batch(samples: &[Sample]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(samples.iter().map(|s| Some(s.0)).collect::<UInt32Array>()),
        Arc::new(samples.iter().map(|s| Some(s.1)).collect::<Int64Array>()),
        Arc::new(Int64Array::from(vec![0; samples.len()])),
        Arc::new(samples.iter().map(|s| Some(s.2)).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(Arc::clone(Table::Samples.schema()), columns).unwrap()
}

/// Packs the samples in batches of so many and unpacks them again.
fn round_trip(samples: &[Sample], rows: usize) -> Vec<RecordBatch> {
    let mut packer = Packer::new();
    let packed: Vec<RecordBatch> =
        samples.chunks(rows).map(|samples| packer.pack(&batch(samples)).unwrap()).collect();
    let mut back = Vec::new();
    for batch in &packed {
        let (times, values) = unpack(batch).unwrap();
        back.extend(times.values().iter().copied().zip(values.values().iter().map(|v| v.to_bits())));
        assert_eq!(values.null_count(), 0);
    }
    let expected: Vec<(i64, u64)> = samples.iter().map(|s| (s.1, s.2.to_bits())).collect();
    assert_eq!(back, expected);
    packed
}

fn integers(packed: &[RecordBatch], column: usize) -> Vec<i64> {
    let arrays = packed.iter().map(|batch| batch.column(column).as_primitive::<Int64Type>());
    arrays.flat_map(|array| array.values().to_vec()).collect()
}

#[test]
fn offsets_go_on_from_series_to_series() {
    let mut samples = Vec::new();
    for series in 0..20_u32 {
        for n in 0..100_i64 {
            let value = f64::from(series) * 1e9 + (n * (i64::from(series) + 1)) as f64 * 4_096.0;
            samples.push((series, 1_700_000_000_000 + i64::from(series) * 77 + n * 15_000, value));
        }
    }
    for rows in [37, 100, 10_000] {
        let packed = round_trip(&samples, rows);
        let times = integers(&packed, TIME_OFFSET_COLUMN);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 15_000), "batches of {rows}");
        let offsets = integers(&packed, 7);
        assert!(offsets.windows(2).all(|pair| (1..=20).contains(&(pair[1] - pair[0]))), "batches of {rows}");
        let mut bases = integers(&packed, TIME_BASE_COLUMN);
        bases.dedup();
        assert_eq!(bases.len(), 20, "batches of {rows}");
    }
}

#[test]
fn floats_that_do_not_scale_stand_between_those_that_do() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let pi = std::f64::consts::PI;
    let samples: Vec<Sample> = [stale, 1.5, 2.5, pi, 3.5, stale, pi, pi, pi, -0.0, f64::MIN, 7.0]
        .into_iter()
        .zip(0..)
        .map(|(value, n)| (u32::try_from(n / 6).unwrap(), n, value))
        .collect();
    for rows in 1..=samples.len() {
        round_trip(&samples, rows);
    }
}

#[test]
fn what_is_not_packed_is_not_unpacked() {
    let samples = batch(&[(0, 1, 2.0)]);
    assert!(unpack(&samples).is_none());
    let packed = Packer::new().pack(&samples).unwrap();
    let mut columns = packed.columns().to_vec();
    columns[4] = Arc::new(Int8Array::from(vec![10]));
    assert!(unpack(&RecordBatch::try_new(Arc::clone(schema::samples()), columns).unwrap()).is_none());
}

proptest! {
    #[test]
    fn any_samples_come_back(
        samples in proptest::collection::vec(
            (
                0_u32..4,
                prop_oneof![any::<i64>(), 0_i64..1_000_000],
                prop_oneof![
                    any::<f64>(),
                    any::<u64>().prop_map(f64::from_bits),
                    any::<i64>().prop_map(|v| v as f64),
                    (-10_000_i64..10_000, 0_i32..9).prop_map(|(v, e)| v as f64 / 10_f64.powi(e)),
                ],
            ),
            1..400,
        ),
        rows in 1_usize..300,
        is_sorted in any::<bool>(),
    ) {
        let mut samples = samples;
        if is_sorted {
            samples.sort_by_key(|sample| (sample.0, sample.1));
        }
        round_trip(&samples, rows);
    }

    #[test]
    fn sums_and_products_of_columns_stay_in_64_bits(
        samples in proptest::collection::vec(
            (0_u32..4, 0_i64..4_000_000_000_000, any::<i64>().prop_map(|v| v as f64 / 1_000.0)),
            1..200,
        ),
    ) {
        let mut samples = samples;
        samples.sort_by_key(|sample| (sample.0, sample.1));
        let packed = round_trip(&samples, 50);
        let columns: Vec<Vec<i64>> = [1, 2, 5, 6, 7].map(|column| integers(&packed, column)).into();
        for row in 0..samples.len() {
            prop_assert!(columns[0][row].checked_add(columns[1][row]).is_some());
            let array = packed[row / 50].column(7);
            if array.is_null(row % 50) {
                continue;
            }
            let product = columns[4][row].checked_mul(columns[3][row]);
            prop_assert!(product.and_then(|product| product.checked_add(columns[2][row])).is_some());
        }
    }
}
