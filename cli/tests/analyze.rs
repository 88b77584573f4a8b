//! `fanout analyze` as a process: files in each format, exit codes, and what programs read of it.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{common::v1::any_value::Value as AnyValue, trace::v1::Status};
use serde_json::Value;
use trace_formats::{Limits, decode, encode};

/// Returns the path of a fixture. `fanout.pb` is what our services export by OTLP, in the framing of the collector's file
/// exporter; `python-*` is what OpenTelemetry's SDK for Python does; `jaeger.json` and `zipkin.json` are as those write.
fn fixture(name: &str) -> String {
    format!("{}/tests/traces/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn analyze(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    command.arg("analyze").args(args).env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env("COLUMNS", "100");
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn text(output: &Output, code: i32, problems: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    assert_eq!(err, problems, "{out}");
    out.into_owned()
}

fn json(args: &[&str], code: i32) -> Value {
    let output = analyze(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns a trace's duration and avoidable time in milliseconds.
fn figures(trace: &Value) -> (f64, f64) {
    (trace["wall_ms"].as_f64().unwrap(), trace["avoidable_ms"].as_f64().unwrap())
}

#[test]
fn calls_in_turn_are_found_in_every_format() {
    for (file, format, spans, expected) in [
        ("python-sequential.pb", "OTLP protobuf", 3, 100.0),
        // As protobuf's own mapping to JSON writes it: ids in base64, enums by name.
        ("python-sequential.json", "OTLP JSON", 3, 100.0),
        ("python-gather.json", "OTLP JSON", 3, 0.0),
        ("jaeger.json", "Jaeger JSON", 4, 300.0),
        ("zipkin.json", "Zipkin JSON", 4, 100.0),
    ] {
        let document = json(&[&fixture(file)], 0);
        let input = &document["inputs"][0];
        assert_eq!((&input["format"], &input["spans"]), (&format.into(), &spans.into()), "{file}");
        let (wall, avoidable) = figures(&document["traces"][0]);
        assert!((avoidable - expected).abs() < 5.0 && wall > expected, "{file}: {avoidable} of {wall}");
        let sentences = document["traces"][0]["verdict"].to_string();
        assert_eq!(sentences.contains("one after the other"), expected > 0.0, "{file}: {sentences}");
    }
}

/// The gateway's own report and this agree.
#[test]
fn our_own_traces_are_judged_as_the_gateway_judges_them() {
    let document = json(&[&fixture("fanout.pb")], 0);
    let bytes = fs::read(fixture("fanout.pb")).unwrap();
    let decoded = decode(&bytes, &Limits::default()).unwrap();
    let mut compared = 0;
    for group in &decoded.spans {
        for span in group.scope_spans.iter().flat_map(|scope| &scope.spans).filter(|span| span.name == "fan_out") {
            let reported = |key: &str| {
                let attribute = span.attributes.iter().find(|attribute| attribute.key == key).unwrap();
                match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
                    AnyValue::DoubleValue(number) => *number,
                    other => panic!("{key}: {other:?}"),
                }
            };
            let id = overlap::SpanId(span.span_id.as_slice().try_into().unwrap()).to_string();
            let fan_outs =
                document["traces"].as_array().unwrap().iter().flat_map(|it| it["fan_outs"].as_array().unwrap());
            let Some(found) = fan_outs.into_iter().find(|fan_out| fan_out["span_id"] == id.as_str()) else { continue };
            if found["calls"].as_array().unwrap().len() < 2 {
                continue;
            }
            for (ours, theirs) in [("wall_ms", "fanout.wall_ms"), ("saved_ms", "fanout.saved_ms")] {
                let (ours, theirs) = (found[ours].as_f64().unwrap(), reported(theirs));
                assert!((ours - theirs).abs() < 10.0, "{id}: {ours} and {theirs}");
            }
            compared += 1;
        }
    }
    assert!(compared >= 5, "{compared}");
}

#[test]
fn our_trace_goes_through_jaegers_format_without_loss() {
    let decoded = decode(&fs::read(fixture("fanout.pb")).unwrap(), &Limits::default()).unwrap();
    let again = decode(encode::jaeger_json(&decoded.spans).as_bytes(), &Limits::default()).unwrap();
    assert_eq!((again.len(), &again.problems), (decoded.len(), &decoded.problems));
    // The same spans with the same attributes, events, links, status, state, scope and resource; times to the microsecond.
    let flat = |decoded: &trace_formats::Decoded| {
        let mut spans = Vec::new();
        for group in &decoded.spans {
            let mut resource = group.resource.clone().unwrap_or_default();
            resource.attributes.sort_by(|one, other| one.key.cmp(&other.key));
            for scope_spans in &group.scope_spans {
                for span in &scope_spans.spans {
                    let mut span = span.clone();
                    span.start_time_unix_nano /= 1000;
                    span.end_time_unix_nano /= 1000;
                    span.events.iter_mut().for_each(|event| event.time_unix_nano /= 1000);
                    span.status.take_if(|status| *status == Status::default());
                    spans.push(format!("{:?} {:?} {span:?}", resource, scope_spans.scope));
                }
            }
        }
        spans.sort();
        spans
    };
    assert_eq!(flat(&again), flat(&decoded));
}

#[test]
fn a_limit_fails_the_build_and_says_which() {
    let files = [&*fixture("python-sequential.pb"), &fixture("python-gather.json")];
    let above = text(&analyze(&[&files[..], &["--max-avoidable", "50ms"]].concat()), 1, "");
    let end = above.split("More than 50 ms avoidable: ").nth(1).unwrap();
    assert!(end.starts_with("1 operation, 1 trace\n  operation orders: GET /order: 10"), "{end}");
    assert!(end.contains("\n  trace 94cdf07aa6cd516469aad6148541284d: orders: GET /order: 10"), "{end}");
    let below = text(&analyze(&[&files[..], &["--max-avoidable", "150ms"]].concat()), 0, "");
    assert!(below.ends_with("\nNo trace and no operation has more than 150 ms avoidable.\n"), "{below}");
    assert_eq!(json(&[&files[..], &["--max-avoidable", "50ms"]].concat(), 1)["exceeded"], true);
}

#[test]
fn many_traces_are_ranked_by_operation_and_one_can_be_chosen() {
    let all = text(&analyze(&[&fixture("fanout.pb"), "--limit", "1"]), 0, "");
    assert!(all.starts_with("7 operations of 9 traces with 66 spans, from what joining would save most:\n"), "{all}");
    assert!(all.contains("\n  and 6 more operations: --limit shows them\n"), "{all}");
    assert_eq!(all.matches(", the worst\n").count(), 1, "{all}");
    let one = text(&analyze(&[&fixture("fanout.pb"), "--trace", "09AEB0"]), 0, "");
    assert!(one.starts_with("gateway: fanout.gateway.v1.GatewayService/GetProfile  617 ms  9 spans\n"), "{one}");
    // What the others show counts for it.
    assert!(one.replace("\n  ", " ").contains("so neither needs the other."), "{one}");
    let none = analyze(&[&fixture("zipkin.json"), "--trace", "abc"]);
    let expected = "fanout: no trace has an id that begins with abc; there are 5982fe77008310cc80f1da5e10147519\n";
    text(&none, 64, expected);
}

/// Returns a directory with traces at several depths, and what is none.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("b/c")).unwrap();
    fs::copy(fixture("zipkin.json"), at("b/c/zipkin.json")).unwrap();
    fs::copy(fixture("jaeger.json"), at("z.JSON")).unwrap();
    fs::write(at("notes.txt"), "no trace").unwrap();
    let mut gzip = GzEncoder::new(fs::File::create(at("a.pb.gz")).unwrap(), Compression::fast());
    gzip.write_all(&fs::read(fixture("python-sequential.pb")).unwrap()).unwrap();
    gzip.finish().unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(directory.path(), at("b/circle")).unwrap();
    directory
}

#[test]
fn directories_are_read_in_order_and_to_the_bottom() {
    let directory = directory();
    let document = json(&[directory.path().to_str().unwrap()], 0);
    let files: Vec<_> = document["inputs"].as_array().unwrap().iter().map(|it| it["file"].as_str().unwrap()).collect();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(files, [path("a.pb.gz"), path("b/c/zipkin.json"), path("z.JSON")]);
    let empty = tempfile::tempdir().unwrap();
    let name = empty.path().display().to_string();
    let output = analyze(&[&name]);
    let problem = "no file in it ends with .json, .jsonl, .ndjson, .otlp, .pb, .bin, .proto";
    text(&output, 66, &format!("fanout: {name}: {problem}\nfanout: no traces in {name}\n"));
}

#[test]
fn standard_input_is_read_too() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    let command = command.args(["analyze", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(fixture("jaeger.json")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["inputs"][0]["file"], "standard input");
    assert_eq!(document["traces"][0]["spans"], 4);
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> (PathBuf, String) {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    let name = path.display().to_string();
    (path, name)
}

#[test]
fn what_is_broken_is_named_and_the_rest_is_analysed() {
    let directory = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(fixture("zipkin.json")).unwrap();
    let (_, broken) = write(directory.path(), "broken.json", good.replace("1502787600102000", "\"soon\""));
    let output = analyze(&[&broken, &fixture("jaeger.json"), "/nowhere/x.json"]);
    let out = text(
        &output,
        66,
        &format!(
            "fanout: {broken}: line 40, column 23: span ebf33e1a81dc6f71: [3].timestamp: invalid value: string \"soon\", \
             expected microseconds, of which the nanoseconds fit into 64 bits\n\
             fanout: /nowhere/x.json: cannot read it: No such file or directory (os error 2)\n"
        ),
    );
    assert!(out.contains("frontend: HTTP GET /dispatch") && out.contains("shop: get /books"), "{out}");
    let (_, text_file) = write(directory.path(), "text.json", "hello");
    let expected =
        "line 1, column 1: expected OTLP (JSON or protobuf), Jaeger JSON or Zipkin JSON, found what begins with";
    let output = analyze(&[&text_file]);
    text(&output, 65, &format!("fanout: {text_file}: {expected} \"hello\"\nfanout: no traces in {text_file}\n"));
    let output = analyze(&[&broken]);
    assert_eq!(output.status.code(), Some(65));
    let (_, empty) = write(directory.path(), "metrics.json", "{\"resourceMetrics\":[]}");
    text(&analyze(&[&empty]), 65, &format!("fanout: no traces in {empty}\n"));
}

#[test]
fn what_is_forgotten_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let span = |trace: usize, id: usize, rest: &str| {
        format!(r#"{{"traceId":"{trace:x}","id":"{id:x}","timestamp":{}000,"duration":9000,{rest}}}"#, trace + id)
    };
    let request = |number: usize| span(number, 1, &format!(r#""kind":"SERVER","name":"operation {number}""#));
    // More operations than are kept, and more different calls of one span than are compared.
    let call = |number: usize| span(1, number, &format!(r#""kind":"CLIENT","parentId":"1","name":"call {number}""#));
    let spans: Vec<_> = (1..=1100).map(request).chain((2..22).map(call)).collect();
    let (_, many) = write(directory.path(), "many.json", format!("[{}]", spans.join(",")));
    let document = json(&[&many, "--limit", "5000"], 0);
    let kept = document["operations"].as_array().unwrap().len();
    assert_eq!(document["dropped"], serde_json::json!({"requests": 1100 - kept, "pairs": 4}));
    assert!((800..=1000).contains(&kept), "{kept}");
    let out = text(&analyze(&[&many]), 0, "").replace("\n  ", " ");
    let requests = format!("\nnote: {} requests of other operations left out: {kept} operations kept, ", 1100 - kept);
    assert!(out.contains(&requests) && out.contains("\nnote: 4 pairs of calls left out: "), "{out}");
    assert_eq!(json(&[&fixture("zipkin.json")], 0)["dropped"], serde_json::json!({"requests": 0, "pairs": 0}));
}

/// Returns Zipkin JSON of two calls in turn with this name.
fn hostile(name: &str) -> String {
    let span = |id: &str, parent: &str, start: u64, duration: u64| {
        serde_json::json!({"traceId": "7", "id": id, "parentId": parent, "name": name, "kind": "CLIENT", "timestamp": start,
            "duration": duration, "localEndpoint": {"serviceName": name}, "tags": {"code.file.path": "src/a,b.py",
            "code.line.number": "7"}})
    };
    let mut root = span("1", "1", 1_000_000, 210_000);
    root.as_object_mut().unwrap().remove("parentId");
    serde_json::json!([root, span("2", "1", 1_000_000, 100_000), span("3", "1", 1_100_000, 110_000)]).to_string()
}

const HOSTILE: &str = "<script>&\"'\n::error::%0A\u{1b}[31m]]>\u{202e}";

#[test]
fn a_junit_report_is_xml_whatever_names_are() {
    let directory = tempfile::tempdir().unwrap();
    let (_, file) = write(directory.path(), "a.json", hostile(HOSTILE));
    let output = text(&analyze(&[&file, "--format", "junit", "--max-avoidable", "10ms"]), 1, "");
    let document = roxmltree::Document::parse(&output).unwrap();
    let suites = document.root_element();
    assert_eq!(suites.tag_name().name(), "testsuites");
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure"), count("error")), (3, 3, 2, 0), "{output}");
    let suite = |name: &str| suites.children().find(|node| node.attribute("name") == Some(name)).unwrap();
    let operations = suite("operations");
    assert_eq!((operations.attribute("tests"), operations.attribute("failures")), (Some("1"), Some("1")));
    let case = operations.children().find(roxmltree::Node::is_element).unwrap();
    assert_eq!(case.attribute("name"), Some("<script>&\"' ::error::%0A\u{fffd}[31m]]>\u{202e}"));
    let failure = case.children().find(|node| node.has_tag_name("failure")).unwrap();
    let message = failure.attribute("message").unwrap();
    assert!(message.ends_with(" avoidable (p95), at most 10.0 ms are allowed"), "{message}");

    let broken = text(
        &analyze(&[&file, "/nowhere", "--format", "junit"]),
        66,
        "fanout: /nowhere: cannot read it: No such file or directory (os error 2)\n",
    );
    let document = roxmltree::Document::parse(&broken).unwrap();
    let error = document.descendants().find(|node| node.has_tag_name("error")).unwrap();
    assert!(error.attribute("message").unwrap().starts_with("/nowhere: cannot read it"), "{broken}");
}

#[test]
fn annotations_are_commands_of_ours_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (_, file) = write(directory.path(), "a.json", hostile(HOSTILE));
    let output = text(&analyze(&[&file, "--format", "github", "--max-avoidable", "10ms"]), 1, "");
    let lines: Vec<_> = output.lines().collect();
    let begins: Vec<_> = lines.iter().map(|line| line.splitn(4, "::").take(2).collect::<Vec<_>>()[1]).collect();
    let place = "warning file=src/a%2Cb.py,title=Calls in turn";
    assert_eq!(begins, ["error title=Avoidable waiting", "error title=Avoidable waiting", place], "{output}");
    assert!(lines.iter().all(|line| line.starts_with("::") && !line.contains('\u{1b}')), "{output}");
    assert!(output.contains("%250A"), "{output}");
    let nothing = text(&analyze(&[&fixture("python-gather.json"), "--format", "github"]), 0, "");
    assert!(!nothing.contains("::error") && nothing.starts_with("::"), "{nothing}");
}

#[test]
fn a_picture_is_svg_that_asks_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [("plain.json", hostile("call")), ("hostile.json", hostile(HOSTILE))] {
        let (_, file) = write(directory.path(), name, content);
        let picture = directory.path().join("out.svg").display().to_string();
        text(&analyze(&[&file, "--svg", &picture, "--json"]), 0, "").clear();
        let svg = fs::read_to_string(&picture).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let elements: Vec<_> = document.descendants().filter(roxmltree::Node::is_element).collect();
        assert!(elements.iter().all(|node| node.tag_name().namespace() == Some("http://www.w3.org/2000/svg")));
        let allowed = ["svg", "title", "style", "rect", "path", "text", "g"];
        assert!(elements.iter().all(|node| allowed.contains(&node.tag_name().name())), "{svg}");
        assert!(!svg.contains("href") && !svg.contains("url(") && svg.contains("prefers-color-scheme:dark"), "{svg}");
        let count = |class: &str| elements.iter().filter(|node| node.attribute("class") == Some(class)).count();
        assert_eq!((count("r"), count("w")), (3, 1), "three spans, and two calls in turn: {svg}");
        assert!(count("c") >= 2, "{svg}");
    }
    let output = analyze(&[&fixture("zipkin.json"), "--svg", "/nowhere/out.svg"]);
    text(&output, 73, "fanout: cannot write /nowhere/out.svg: No such file or directory (os error 2)\n");
}
