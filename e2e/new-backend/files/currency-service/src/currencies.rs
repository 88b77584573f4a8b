//! The currency of each country.

use fanout_proto::currency::v1::Currency;

/// Country, code and name, in the order of the countries' alpha-2 codes.
const CURRENCIES: [(&str, &str, &str); 6] = [
    ("CH", "CHF", "Swiss Franc"),
    ("DE", "EUR", "Euro"),
    ("GB", "GBP", "Pound Sterling"),
    ("NL", "EUR", "Euro"),
    ("NO", "NOK", "Norwegian Krone"),
    ("US", "USD", "US Dollar"),
];

/// Returns the currency of the country with this alpha-2 code; `None` if it is unknown.
pub fn of_country(country_code: &str) -> Option<Currency> {
    let index = CURRENCIES.binary_search_by_key(&country_code, |(country, ..)| country).ok()?;
    let (_, code, name) = CURRENCIES[index];
    Some(Currency { code: code.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_country_of_the_table() {
        for (country, code, _) in CURRENCIES {
            assert_eq!(of_country(country).map(|currency| currency.code).as_deref(), Some(code));
        }
        assert_eq!(of_country("ZZ"), None);
    }
}
