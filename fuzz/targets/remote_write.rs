//! Remote write 1.0 and 2.0 requests, read through to their last field.
#![cfg_attr(feature = "libfuzzer", no_main)]

use wire::remote_write::{v1, v2};

stella_fuzz::target!(|data: &[u8]| {
    for field in v1::RequestView::new(data).map_while(Result::ok) {
        match field {
            v1::RequestField::Metadata(metadata) => drop(metadata.read()),
            v1::RequestField::Series(series) => {
                for field in series.map_while(Result::ok) {
                    match field {
                        v1::SeriesField::Exemplar(exemplar) => exemplar.labels().for_each(drop),
                        v1::SeriesField::Histogram(histogram) => drop(histogram.read()),
                        v1::SeriesField::Label(..) | v1::SeriesField::Sample(_) => {}
                    }
                }
            }
        }
    }
    let mut symbols = v2::Symbols::default();
    for field in v2::RequestView::new(data).map_while(Result::ok) {
        match field {
            v2::RequestField::Symbol(symbol) => symbols.push(symbol.text().unwrap_or_default()),
            v2::RequestField::Series(series) => {
                let mut references = Vec::new();
                for field in series.map_while(Result::ok) {
                    match field {
                        v2::SeriesField::Labels(of) => drop(of.append_to(&mut references)),
                        v2::SeriesField::Exemplar(exemplar) => exemplar.append_labels_to(&mut references),
                        v2::SeriesField::Histogram(histogram) => drop(histogram.read()),
                        _ => {}
                    }
                }
                if let Ok(pairs) = symbols.pairs(&references) {
                    pairs.for_each(drop);
                }
            }
        }
    }
});
