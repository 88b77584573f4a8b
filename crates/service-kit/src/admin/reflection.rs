//! The reflection of a server's services.

use tonic_reflection::server::{
    Builder, Error,
    v1::{ServerReflection, ServerReflectionServer},
    v1alpha::{ServerReflection as ServerReflectionV1Alpha, ServerReflectionServer as ServerReflectionServerV1Alpha},
};

use super::MAX_MESSAGE;

/// The descriptors of health and reflection. Encoded sets that follow each other are one set.
pub(crate) const DESCRIPTORS: [&[u8]; 3] = [
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Returns the services of both versions, which describe the services with these names.
///
/// # Errors
///
/// Returns an error if the descriptors cannot be decoded.
pub(crate) fn reflection(
    descriptors: &'static [u8],
    names: &[&'static str],
) -> Result<
    (ServerReflectionServer<impl ServerReflection>, ServerReflectionServerV1Alpha<impl ServerReflectionV1Alpha>),
    Error,
> {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Errors have details of these types in `google.protobuf.Any`: clients that know the contract only by
            // reflection need them to read the details.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let v1 = builder().with_service_name("grpc.reflection.v1.ServerReflection").build_v1()?;
    let v1alpha = builder().with_service_name("grpc.reflection.v1alpha.ServerReflection").build_v1alpha()?;
    Ok((v1.max_decoding_message_size(MAX_MESSAGE), v1alpha.max_decoding_message_size(MAX_MESSAGE)))
}
