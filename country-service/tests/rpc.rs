//! The RPCs over a real connection, with the generated client.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use country_service::{Catalogue, Countries};
use fanout_proto::country::v1::{
    Country, GetCountryRequest, ListCountriesRequest, country_service_client::CountryServiceClient,
    spliced::country_service_server::CountryServiceServer,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Status,
    transport::{Channel, Server},
};
use tonic_types::StatusExt as _;

/// Returns a client of a new server, which ends with the test's runtime.
async fn client() -> CountryServiceClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = CountryServiceServer::new(Countries::new(Catalogue::new()));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    CountryServiceClient::connect(format!("http://{address}")).await.unwrap()
}

async fn get(code: &str) -> Result<Country, Status> {
    let request = GetCountryRequest { code: code.to_owned() };
    client().await.get_country(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn lists_all_countries_in_order() {
    let mut client = client().await;
    for _ in 0..2 {
        let countries = client.list_countries(ListCountriesRequest {}).await.unwrap().into_inner().countries;
        assert_eq!(countries.len(), 249);
        assert!(countries.is_sorted_by(|a, b| a.code < b.code), "sorted, and each once");
    }
}

#[tokio::test]
async fn gets_a_country_in_either_case() {
    for (code, alpha3, numeric, name) in [
        ("GB", "GBR", 826, "United Kingdom"),
        ("tr", "TUR", 792, "Türkiye"),
        ("Ci", "CIV", 384, "Côte d'Ivoire"),
        ("af", "AFG", 4, "Afghanistan"),
    ] {
        let country = get(code).await.unwrap();
        assert_eq!(country.code, code.to_uppercase());
        assert_eq!(country.alpha3_code, alpha3);
        assert_eq!(country.numeric_code, numeric);
        assert!(country.name.starts_with(name), "{country:?}");
    }
}

#[tokio::test]
async fn the_list_contains_what_get_returns() {
    let mut client = client().await;
    let countries = client.list_countries(ListCountriesRequest {}).await.unwrap().into_inner().countries;
    for country in countries {
        let request = GetCountryRequest { code: country.code.clone() };
        assert_eq!(client.get_country(request).await.unwrap().into_inner(), country);
    }
}

#[tokio::test]
async fn an_unknown_code_is_not_found_and_the_error_names_it() {
    let status = get("zz").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    let details = status.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("fanout.country.v1.Country", "ZZ"));
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("COUNTRY_NOT_FOUND", "fanout.country.v1"));
}

#[tokio::test]
async fn an_ill_formed_code_is_an_invalid_argument_that_names_the_field() {
    for code in ["", "G", "GBR", "12", "G\n", "Ü", &"x".repeat(100_000)] {
        let status = get(code).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("two letters") && status.message().len() < 200, "{status:?}");
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "code");
        assert!(violations[0].description.contains("two letters"));
        assert_eq!(details.error_info().unwrap().reason, "INVALID_REQUEST");
    }
}
