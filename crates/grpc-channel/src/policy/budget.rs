//! What retries and hedges may spend.

use std::time::Duration;

use tower::retry::budget::TpsBudget;

/// How long a call that pays in counts.
const MEMORY: Duration = Duration::from_secs(10);

/// tower's budget: a `share` of the calls of the last ten seconds that paid in, and `floor` a second, rounded up to the
/// next even number. What the floor allows in ten seconds may be spent at once. The share is one in a whole number of
/// calls (100 %, 50 %, 33 %, 25 %, 20 % …); what lies between counts as the next larger one.
///
/// While calls come often, tower 0.5 goes two steps in its ring of slots where it should go one, and so forgets in half
/// of the time that it is given: it is given twice the time, and half of the floor.
pub(crate) fn budget(share: f32, floor: u32) -> TpsBudget {
    TpsBudget::new(2 * MEMORY, floor.div_ceil(2), share)
}

#[cfg(test)]
mod tests {
    use tower::retry::budget::Budget as _;

    use super::*;

    /// How many retries a budget pays for in so many seconds.
    async fn spent(budget: &TpsBudget, seconds: u64) -> u32 {
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
        let mut spent = 0;
        while tokio::time::Instant::now() < until {
            spent += u32::from(budget.withdraw());
            // No step ends where one of tower's slots does: that would hide what it does in between.
            tokio::time::advance(Duration::from_millis(7)).await;
        }
        spent
    }

    #[tokio::test(start_paused = true)]
    async fn the_floor_is_what_it_says() {
        let some = spent(&budget(0.2, 4), 100).await;
        // Four a second, and the first ten seconds' worth is there at once.
        assert!((360..=440).contains(&some), "{some} in 100 s");
        assert_eq!(spent(&budget(0.2, 0), 100).await, 0);
    }

    #[test]
    fn the_share_is_one_in_a_whole_number_of_calls() {
        for (share, of_hundred) in
            [(0.0, 0), (0.05, 5), (0.2, 20), (0.25, 25), (0.3, 33), (0.4, 50), (0.7, 100), (1.0, 100)]
        {
            let budget = budget(share, 0);
            (0..100).for_each(|_| budget.deposit());
            assert_eq!(
                std::iter::repeat_with(|| budget.withdraw()).take_while(|paid| *paid).count(),
                of_hundred,
                "{share}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_counts_for_about_ten_seconds() {
        let budget = budget(0.2, 0);
        (0..100).for_each(|_| budget.deposit());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(budget.withdraw());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(!budget.withdraw());
    }
}
