//! The generated code of the contract.

#![allow(clippy::pedantic, missing_docs, reason = "generated")]

tonic::include_proto!("question.v1");
