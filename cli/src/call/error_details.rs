//! Details of errors, which may be messages of any type.

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

/// Removes the details of a type that is not in the pool from every `google.rpc.Status` in the message.
///
/// JSON shows what is inside of a `google.protobuf.Any`, so that one of an unknown type has no form in JSON.
pub(super) fn remove_unknown(message: &mut DynamicMessage, pool: &DescriptorPool) {
    if message.descriptor().full_name() == "google.rpc.Status" {
        if let Some(Value::List(details)) = message.get_field_by_name_mut("details") {
            details.retain(|detail| is_known(detail, pool));
        }
        return;
    }
    for (_, value) in message.fields_mut() {
        match value {
            Value::Message(part) => remove_unknown(part, pool),
            Value::List(parts) => {
                parts.iter_mut().filter_map(Value::as_message_mut).for_each(|part| remove_unknown(part, pool));
            }
            _ => {}
        }
    }
}

fn is_known(detail: &Value, pool: &DescriptorPool) -> bool {
    let url = detail.as_message().and_then(|any| any.get_field_by_name("type_url")?.as_str().map(str::to_owned));
    let name = url.as_deref().and_then(|url| url.rsplit('/').next());
    name.is_some_and(|name| pool.get_message_by_name(name).is_some())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanout_proto::gateway::v1 as proto;
    use prost::Message as _;
    use tonic_types::pb;

    use super::*;
    use crate::call::rpc::contract;

    fn detail(name: &str) -> prost_types::Any {
        prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value: Vec::new() }
    }

    #[test]
    fn only_details_of_unknown_types_are_removed_at_any_depth() {
        let details = vec![detail("google.rpc.ErrorInfo"), detail("made.up.Detail")];
        let call =
            proto::CallReport { error: Some(pb::Status { details, ..Default::default() }), ..Default::default() };
        let report = proto::FanOutReport { calls: vec![call], ..Default::default() };
        let reply = proto::GetProfileResponse { report: Some(report), ..Default::default() };
        let descriptor = contract().get_message_by_name("fanout.gateway.v1.GetProfileResponse").unwrap();
        let mut message = DynamicMessage::decode(descriptor, Bytes::from(reply.encode_to_vec())).unwrap();
        remove_unknown(&mut message, contract());
        let json = serde_json::to_value(&message).unwrap();
        let details = &json["report"]["calls"][0]["error"]["details"];
        assert_eq!(*details, serde_json::json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo" }]));
    }
}
