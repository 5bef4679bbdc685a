//! OTLP bodies, protobuf and JSON, of the three signals, read through to their last field.
#![cfg_attr(feature = "libfuzzer", no_main)]

use bytes::Bytes;
use wire::WireError;
use wire::otlp::{
    Format, PairView, RequestView, SpanPart, ValueView, decode_metrics, logs_in_protobuf, logs_view,
    traces_in_protobuf, traces_view,
};

fn value(pair: PairView<'_>) -> Result<(), WireError> {
    match pair.value {
        ValueView::Nested(nested) => nested.read().map(drop),
        _ => Ok(()),
    }
}

fn read(request: RequestView<'_>) -> Result<(), WireError> {
    for resource in request.resources() {
        let resource = resource?;
        resource.resource()?;
        for scope in resource.scopes() {
            let scope = scope?;
            scope.scope()?;
            for item in scope.items() {
                let item = item?;
                let _ = item.record(value);
                let _ = item.span(|part| match part {
                    SpanPart::Attribute(pair) => value(pair),
                    SpanPart::Event(item) => item.event(value).map(drop),
                    SpanPart::Link(item) => item.link(value).map(drop),
                });
            }
        }
    }
    Ok(())
}

stella_fuzz::target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for format in [Format::Protobuf, Format::Json] {
        let _ = decode_metrics(format, &body);
        let _ = logs_in_protobuf(format, &body).map(|body| read(logs_view(&body)));
        let _ = traces_in_protobuf(format, &body).map(|body| read(traces_view(&body)));
    }
});
