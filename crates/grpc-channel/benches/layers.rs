//! What each layer of the stack adds to a call that is answered at once: `cargo bench -p grpc-channel --features benches`.
//! The first row is the service alone, with the box of its future that each row has.

use divan::{AllocProfiler, Bencher};
use grpc_channel::benches::{Caller, Layer, PreparedCall};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [
    Layer::None,
    Layer::Deadline,
    Layer::CoalesceOff,
    Layer::CoalesceOn,
    Layer::Limit,
    Layer::Breaker,
    Layer::Retry,
    Layer::Hedge,
])]
fn layer(bencher: Bencher<'_, '_>, layer: Layer) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without IO needs nothing");
    let _runtime = runtime.enter();
    let mut caller = Caller::new(layer);
    bencher.with_inputs(PreparedCall::new).bench_local_values(|call| assert!(caller.call(call), "it has a reply"));
}
