//! All countries of ISO 3166-1, in memory.

use fanout_proto::{
    Encoded,
    country::v1::{Country, ListCountriesResponse},
};

/// The size of a table with a place for every pair of letters.
const PAIRS: usize = 26 * 26;

/// The countries, checked, sorted and encoded once.
///
/// Their names are the standard's English short names, as its publisher sorts them:
/// "Bolivia (Plurinational State of)".
#[derive(Debug)]
pub struct Catalogue {
    /// In the order of the alpha-2 codes.
    countries: Vec<Country>,
    /// Where in `countries` the country with this pair of letters is: a look-up hashes
    /// nothing, allocates nothing and takes either case.
    places: Box<[Option<u8>; PAIRS]>,
    encoded: Encoded<ListCountriesResponse>,
}

/// What is wrong with a code that is not two ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not two letters from A to Z")]
pub struct NotAlpha2;

// === impl Catalogue ===

impl Catalogue {
    /// Takes all countries from the crate `rust_iso3166`.
    ///
    /// # Panics
    ///
    /// Where that crate's table breaks what the standard promises: alpha-2 codes of two
    /// upper-case letters, each once. The tests would have said so.
    pub fn new() -> Self {
        let mut countries: Vec<Country> = rust_iso3166::ALL
            .iter()
            .map(|country| Country {
                code: country.alpha2.to_owned(),
                alpha3_code: country.alpha3.to_owned(),
                numeric_code: country.numeric.into(),
                name: country.name.to_owned(),
            })
            .collect();
        countries.sort_unstable_by(|a, b| a.code.cmp(&b.code));

        let mut places = Box::new([None; PAIRS]);
        for (place, country) in (0_u8..).zip(&countries) {
            let pair = pair(&country.code).expect("an alpha-2 code is two letters");
            assert_eq!(places[pair].replace(place), None, "two countries have the code {}", country.code);
        }

        let list = ListCountriesResponse { countries };
        let encoded = Encoded::new(&list);
        Self { countries: list.countries, places, encoded }
    }

    /// All countries in the order of their alpha-2 codes.
    pub fn countries(&self) -> &[Country] {
        &self.countries
    }

    /// All countries as the bytes of an answer. Costs a reference count.
    pub fn encoded(&self) -> Encoded<ListCountriesResponse> {
        self.encoded.clone()
    }

    /// The country with an alpha-2 code in either case, where there is one.
    ///
    /// # Errors
    ///
    /// Where the code is not two ASCII letters.
    pub fn get(&self, code: &str) -> Result<Option<&Country>, NotAlpha2> {
        let place = self.places[pair(code).ok_or(NotAlpha2)?];
        Ok(place.map(|place| &self.countries[usize::from(place)]))
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

/// The place of a pair of letters in the order of the alphabet; the case does not count.
fn pair(code: &str) -> Option<usize> {
    let letter = |byte: u8| byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_uppercase() - b'A'));
    let [first, second] = *code.as_bytes() else { return None };
    Some(letter(first)? * 26 + letter(second)?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message as _;

    use super::*;

    #[test]
    fn holds_the_standard_sorted_and_each_code_once() {
        let catalogue = Catalogue::new();
        let countries = catalogue.countries();
        assert_eq!(countries.len(), 249);
        assert!(countries.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(countries.iter().map(|c| &c.alpha3_code).collect::<HashSet<_>>().len(), 249);
        assert_eq!(countries.iter().map(|c| c.numeric_code).collect::<HashSet<_>>().len(), 249);
        for country in countries {
            assert!(country.alpha3_code.len() == 3 && country.alpha3_code.bytes().all(|b| b.is_ascii_uppercase()));
            assert!((1..=999).contains(&country.numeric_code), "{country:?}");
            assert!(!country.name.is_empty() && country.name.trim() == country.name, "{country:?}");
        }
    }

    #[test]
    fn finds_each_code_in_either_case() {
        let catalogue = Catalogue::new();
        for country in catalogue.countries() {
            assert_eq!(catalogue.get(&country.code), Ok(Some(country)));
            assert_eq!(catalogue.get(&country.code.to_lowercase()), Ok(Some(country)));
        }
        assert_eq!(catalogue.get("gB").unwrap().unwrap().numeric_code, 826);
        assert_eq!(catalogue.get("ZZ"), Ok(None), "kept free by the standard");
    }

    #[test]
    fn anything_but_two_letters_is_told_apart_from_an_unknown_code() {
        let catalogue = Catalogue::new();
        for code in ["", "G", "GBR", "G1", "4", "é", "ÉÉ", "G ", "@[", "`{"] {
            assert_eq!(catalogue.get(code), Err(NotAlpha2), "{code:?}");
        }
    }

    #[test]
    fn the_encoded_list_is_the_list_and_is_shared() {
        let catalogue = Catalogue::new();
        let list = ListCountriesResponse::decode(&catalogue.encoded().as_bytes()[..]).unwrap();
        assert_eq!(list.countries, catalogue.countries());
        assert_eq!(catalogue.encoded().as_bytes().as_ptr(), catalogue.encoded().as_bytes().as_ptr());
    }
}
