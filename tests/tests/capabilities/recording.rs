use std::fs;

use portcullis_tests::Operator;
use serde_json::Value;

use crate::http;

/// What the recording so far says, in a file.
fn take(operator: &Operator, header: &Value, file: &std::path::Path) -> String {
    let (status, body) = operator.request("GET", "/v1/extensions/probe/recording", "");
    assert_eq!(status, 200, "{body}");
    let part: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(part["lost"], 0, "{part}");
    let mut text = header.as_str().expect("a line").to_owned() + "\n";
    for line in part["lines"].as_array().expect("lines") {
        text.push_str(line.as_str().expect("a line"));
        text.push('\n');
    }
    fs::write(file, &text).expect("a file is written");
    text
}

fn replay(operator: &Operator, file: &std::path::Path) -> (Option<i32>, Value) {
    let file = file.to_string_lossy();
    let out = operator.run(&["extension", "replay", &file, "--json"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let answer = serde_json::from_str(&said);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), answer.unwrap_or_else(|_| panic!("{said}{error}")))
}

#[test]
fn what_an_extension_reached_is_replayed_without_reaching_it() {
    let (stage, web) = http::stage(
        "pki/ca.pem",
        "[extensions.probe.broker]\npublish = [\"t/#\"]\ndisconnect = true\n",
    );
    let gateway = stage.start();
    let operator = Operator::of(&stage.site);
    web.serve("the answer");
    let (status, body) =
        operator.request("POST", "/v1/extensions/probe/record", "{\"for_ms\": 600000}");
    assert_eq!(status, 200, "{body}");
    let header: Value = serde_json::from_str(&body).expect("JSON");
    for line in [
        "set a what-is-kept",
        "get a",
        "add n 3",
        "keys a 7",
        "swap a - other",
        "get-from web /x?y=1",
        "post-to web /y sent-on",
        "publish t/1 published",
        "disconnect nobody 152",
    ] {
        stage.done(&gateway, line);
    }
    stage.refused(&gateway, "publish elsewhere x", "NotGranted");
    let file = stage.site.path("probe.rec");
    let text = take(&operator, &header["header"], &file);
    let calls = text.lines().count() - 1;
    assert_eq!(calls, 10, "{text}");

    let (asked, counted) = (web.asked(), stage.done(&gateway, "add n 1"));
    let (code, answer) = replay(&operator, &file);
    assert_eq!((code, &answer["same"], &answer["improvised"]), (Some(0), &10.into(), &0.into()));
    assert_eq!(web.asked(), asked, "nothing was sent");
    assert_eq!((&*counted, &*stage.done(&gateway, "add n 1")), ("4", "5"), "nothing was kept");

    // As if something else had been asked for, kept and ordered.
    let other = text
        .replace("[\"GET\",\"/x\"", "[\"GET\",\"/z\"")
        .replace("[\"t/1\"", "[\"t/2\"")
        .replace("[\"key-value.get\",[\"a\"]", "[\"key-value.get\",[\"b\"]");
    fs::write(&file, other).expect("a file is written");
    let (code, answer) = replay(&operator, &file);
    assert_eq!((code, &answer["same"]), (Some(1), &7.into()), "{answer}");
    let said = answer["differences"].to_string();
    for difference in [
        "asked for http GET /x, which the recording does not have",
        "asked for key-value get a, which the recording does not have",
        "asked for broker publish t/1, which the recording does not have",
        "did not ask for broker publish t/2, which the recording has",
    ] {
        assert!(said.contains(difference), "{difference}: {said}");
    }
    let words = ["extension", "replay", &file.to_string_lossy()];
    let shown = String::from_utf8_lossy(&operator.run(&words).stdout).into_owned();
    assert!(shown.contains("\n    asked for http GET /x, which"), "{shown}");
}
