//! `fanout compare`: the same request with each strategy, and what joining saves.
//!
//! # Layout
//!
//! * [`run`]: the result of one request; [`measure`] makes the requests.
//! * [`waterfall`]: the calls as bars on one axis; [`elision`]: which calls get a row.
//! * [`table`], [`verdict`]: the figures, and their meaning in a sentence.
//! * [`json`]: the same for programs.

pub mod elision;
pub mod json;
pub mod run;
pub mod table;
pub mod verdict;
pub mod waterfall;

use std::time::{Duration, Instant};

use clap::Args;
use fanout_proto::gateway::v1::{FanOutReport, gateway_service_client::GatewayServiceClient};
use tonic::{Response, Status, transport::Channel};

use crate::{
    compare::{json::Document, run::Run},
    completion::{ClientError, Completion},
    gateway_client::{
        address::Unreachable,
        report::Report,
        request::{Method, RequestArgs, Strategy},
        rpc_error::RpcError,
    },
    terminal::{
        capabilities::Terminal, duration_format::human, live_line::LiveLine, output::OutputArgs, stdout, style::Role,
        text_layout::wrap,
    },
};

/// The flags of `fanout compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    /// The strategies to compare, in this order; each is run once
    #[arg(long, value_enum, value_name = "STRATEGY,…", value_delimiter = ',', default_values_t = Strategy::ALL)]
    strategy: Vec<Strategy>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

// === impl CompareArgs ===

impl CompareArgs {
    /// Returns the strategies in the order in which they are first named.
    fn strategies(&self) -> Vec<Strategy> {
        let mut strategies = Vec::new();
        for strategy in &self.strategy {
            if !strategies.contains(strategy) {
                strategies.push(*strategy);
            }
        }
        strategies
    }
}

/// Runs the command: makes the requests, then prints drawings and figures.
///
/// # Errors
///
/// Returns an error if nothing answers at the gateway's address, or if standard output cannot be written.
pub async fn compare(args: &CompareArgs) -> Result<Completion, ClientError> {
    let runs = measure(&args.request, &args.strategies()).await?;
    let text = if args.output.json {
        serde_json::to_string_pretty(&Document::new(&args.request, &runs))? + "\n"
    } else {
        screen(args, &runs, args.output.terminal())
    };
    stdout::print(&text)?;
    let all_ok = runs.iter().all(|run| run.result.is_ok());
    Ok(if all_ok { Completion::Success } else { Completion::RequestsFailed })
}

/// Makes the request once with each strategy, one after another on one connection.
///
/// # Errors
///
/// Returns an error if nothing answers at the gateway's address. A failed request is a run with an error.
pub async fn measure(request: &RequestArgs, strategies: &[Strategy]) -> Result<Vec<Run>, Unreachable> {
    let channel = request.options.gateway.connect_checked().await?;
    let mut runs = Vec::with_capacity(strategies.len());
    for &strategy in strategies {
        let live = LiveLine::start(move |elapsed| progress(strategy, elapsed));
        let began = Instant::now();
        // tonic's timer does not cover the wait for the connection.
        let reply = tokio::time::timeout(request.options.timeout, call(channel.clone(), request, strategy)).await;
        let waited = began.elapsed();
        live.finish().await;
        let result = match reply {
            Ok(Ok(report)) => Ok(report.map(Report::from)),
            Ok(Err(status)) => Err(RpcError::new(&status)),
            Err(_) => Err(RpcError::deadline_exceeded()),
        };
        runs.push(Run { strategy, waited, result });
    }
    Ok(runs)
}

async fn call(channel: Channel, request: &RequestArgs, strategy: Strategy) -> Result<Option<FanOutReport>, Status> {
    let mut client = GatewayServiceClient::new(channel);
    match request.method {
        Method::GetProfile => {
            let message = request.options.request(request.profile(Some(strategy)));
            client.get_profile(message).await.map(Response::into_inner).map(|reply| reply.report)
        }
        Method::GetHomeCountry => {
            let message = request.options.request(request.home_country(Some(strategy)));
            client.get_home_country(message).await.map(Response::into_inner).map(|reply| reply.report)
        }
    }
}

fn progress(strategy: Strategy, elapsed: Duration) -> String {
    // Tenths of a second: more digits would flicker.
    match elapsed {
        long if long > Duration::from_mins(10) => format!("{} ... {}", strategy.name(), human(long)),
        short => format!("{} ... {:.1} s", strategy.name(), short.as_secs_f64()),
    }
}

fn screen(args: &CompareArgs, runs: &[Run], Terminal { width, style }: Terminal) -> String {
    let title = format!("{} at {}", args.request.describe(), args.request.options.gateway);
    let mut text = style.paint(Role::Quiet, &title) + "\n\n";
    text.push_str(&waterfall::waterfall(runs, width, style));
    text.push('\n');
    text.push_str(&table::table(runs, width, style));
    text.push('\n');
    for sentence in verdict::verdict(runs, style).lines() {
        text.push_str(&wrap(sentence, width, 0));
        text.push('\n');
    }
    text
}
