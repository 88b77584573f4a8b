//! What the engine adds to calls that are ready at once: `cargo bench -p fan-out`.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    time::Duration,
};

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use fan_out::{CallReport, CallState, FanOut, Report, Strategy, call, report::CallTime};
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const CONCURRENT: [Strategy; 2] = [Strategy::Concurrent, Strategy::Spawned];

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime without IO needs nothing")
}

fn reply() -> Ready<Result<u64, Infallible>> {
    ready(Ok(1))
}

#[divan::bench(args = CONCURRENT)]
fn join_2(bencher: Bencher<'_, '_>, strategy: Strategy) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(2_u32)).bench_local(|| {
        runtime.block_on(FanOut::new(strategy).join((call("user", reply()), call("country", reply()))))
    });
}

#[divan::bench(args = [2, 10, 100])]
fn as_completed(bencher: Bencher<'_, '_>, width: usize) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(width)).bench_local(|| {
        let calls = (0..width).map(|_| call("user", reply()));
        let stream = FanOut::new(Strategy::Concurrent).as_completed(16, calls);
        runtime.block_on(stream.for_each(|completed| {
            divan::black_box(completed);
            ready(())
        }));
    });
}

#[divan::bench(args = [2, 10, 100])]
fn report(bencher: Bencher<'_, '_>, width: usize) {
    let calls: Vec<_> = (0..u32::try_from(width).expect("a small number")).map(call_report).collect();
    bencher
        .counter(ItemsCount::new(width))
        .with_inputs(|| calls.clone())
        .bench_values(|calls| Report::new(Strategy::Concurrent, calls));
}

/// A call of a chain of two.
fn call_report(nth: u32) -> CallReport {
    CallReport {
        name: "user".into(),
        method: "fanout.user.v1.UserService/GetUser".into(),
        state: CallState::Ok,
        time: Some(CallTime { start: Duration::from_micros(nth.into()), duration: Duration::from_millis(3) }),
        attempts: 1,
        hedges: 0,
        hedge_won: false,
        critical: false,
        chain: nth / 2,
    }
}
