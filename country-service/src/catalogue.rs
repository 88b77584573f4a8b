//! All countries of ISO 3166-1, in memory and encoded.

use fanout_proto::{
    Encoded,
    country::v1::{Country, ListCountriesResponse},
};

/// The number of pairs of letters.
const PAIRS: usize = 26 * 26;

/// The countries, checked and sorted. Each reply is encoded once: to send it costs a reference count.
///
/// The names are the standard's English short names as its publisher sorts them: "Bolivia (Plurinational State of)".
#[derive(Debug)]
pub struct Catalogue {
    /// The country of each pair of letters. A look-up neither hashes nor allocates, and ignores case.
    by_code: Vec<Option<Encoded<Country>>>,
    list: Encoded<ListCountriesResponse>,
}

/// The error for a code that is not two ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not two letters from A to Z")]
pub struct NotAlpha2;

// === impl Catalogue ===

impl Catalogue {
    /// Takes all countries from the crate `rust_iso3166`.
    ///
    /// # Panics
    ///
    /// Panics if that crate's table breaks what the standard promises: alpha-2 codes of two upper-case letters, each
    /// used once. The tests check the table.
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

        let mut by_code = vec![None; PAIRS];
        for country in &countries {
            let pair = pair(&country.code).expect("an alpha-2 code is two letters");
            let same = by_code[pair].replace(Encoded::new(country));
            assert_eq!(same, None, "two countries have the code {}", country.code);
        }
        Self { by_code, list: Encoded::new(&ListCountriesResponse { countries }) }
    }

    /// Returns all countries in the order of their alpha-2 codes.
    pub fn list(&self) -> Encoded<ListCountriesResponse> {
        self.list.clone()
    }

    /// Returns the country with this alpha-2 code, in either case; `None` if no country has it.
    ///
    /// # Errors
    ///
    /// Returns an error if the code is not two ASCII letters.
    pub fn get(&self, code: &str) -> Result<Option<Encoded<Country>>, NotAlpha2> {
        Ok(self.by_code[pair(code).ok_or(NotAlpha2)?].clone())
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the index of a pair of letters in alphabetical order, ignoring case.
fn pair(code: &str) -> Option<usize> {
    let letter = |byte: u8| byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_uppercase() - b'A'));
    let [first, second] = *code.as_bytes() else { return None };
    Some(letter(first)? * 26 + letter(second)?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn countries(catalogue: &Catalogue) -> Vec<Country> {
        catalogue.list().to_message().unwrap().countries
    }

    #[test]
    fn holds_the_standard_sorted_and_each_code_once() {
        let countries = countries(&Catalogue::new());
        assert_eq!(countries.len(), 249);
        assert!(countries.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(countries.iter().map(|c| &c.alpha3_code).collect::<HashSet<_>>().len(), 249);
        assert_eq!(countries.iter().map(|c| c.numeric_code).collect::<HashSet<_>>().len(), 249);
        for country in &countries {
            assert!(country.alpha3_code.len() == 3 && country.alpha3_code.bytes().all(|b| b.is_ascii_uppercase()));
            assert!((1..=999).contains(&country.numeric_code), "{country:?}");
            assert!(!country.name.is_empty() && country.name.trim() == country.name, "{country:?}");
        }
    }

    #[test]
    fn finds_each_code_in_either_case() {
        let catalogue = Catalogue::new();
        for country in countries(&catalogue) {
            let encoded = Encoded::new(&country);
            assert_eq!(catalogue.get(&country.code), Ok(Some(encoded.clone())));
            assert_eq!(catalogue.get(&country.code.to_lowercase()), Ok(Some(encoded)));
        }
        assert_eq!(catalogue.get("gB").unwrap().unwrap().to_message().unwrap().numeric_code, 826);
        assert_eq!(catalogue.get("ZZ"), Ok(None), "reserved by the standard for its users");
    }

    #[test]
    fn distinguishes_ill_formed_codes_from_unknown_ones() {
        let catalogue = Catalogue::new();
        for code in ["", "G", "GBR", "G1", "4", "é", "ÉÉ", "G ", "@[", "`{"] {
            assert_eq!(catalogue.get(code), Err(NotAlpha2), "{code:?}");
        }
    }

    #[test]
    fn replies_share_their_bytes() {
        let catalogue = Catalogue::new();
        assert_eq!(catalogue.list().as_bytes().as_ptr(), catalogue.list().as_bytes().as_ptr());
        let country = || catalogue.get("GB").unwrap().unwrap();
        assert_eq!(country().as_bytes().as_ptr(), country().as_bytes().as_ptr());
    }
}
