//! The README is right: its configuration starts a server, its questions have answers.

use std::path::PathBuf;

use crate::command::run;
use crate::server::{Place, Stella, eventually};

fn readme() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_configuration_starts_a_server() {
    let readme = readme();
    let blocks = blocks(&readme, "yaml");
    let config =
        blocks.iter().find(|block| block.contains("data_dir:")).expect("the README shows stella.yaml");
    let folder = tempfile::tempdir().unwrap();
    // The folder and the port are this test's; the store lies in the folder.
    let ours = |line: &&str| !["data_dir:", "listen:"].iter().any(|key| line.starts_with(key));
    let store = format!("file://{}", folder.path().join("store").display());
    let keys: Vec<String> = config
        .lines()
        .filter(ours)
        .map(|line| line.replace("file:///var/lib/stella/store", &store))
        .collect();
    assert!(keys.len() > 5, "{config}");
    let keys = format!("{}\n", keys.join("\n"));
    let stella = Stella::serve_in(Place::Folder, folder.path(), &keys, &[]).await;
    assert_eq!(stella.listeners().len(), 9);
    assert!(config.contains("default_tenant: acme"));
    assert_eq!(stella.anonymous().value("vector(1)").await, 1.0);
    stella.stop().await;
    assert!(folder.path().join("store/tenants/stella").is_dir(), "the store is where the URL says");
}

/// Splits a line as a shell does, where nothing but single quotes is used.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        match at % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn its_questions_have_answers() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(folder.path()).await;
    let readme = readme();
    let questions: Vec<Vec<String>> =
        readme.lines().filter_map(|line| line.strip_prefix("stella query ")).map(words).collect();
    assert_eq!(questions.len(), 4, "{questions:?}");
    for question in &questions {
        // A rate needs two looks at the metrics, and they are a while apart: that query only has to be one.
        let must_find = !question.iter().any(|word| word.contains("rate("));
        let offset = stella.port_offset().to_string();
        eventually(&format!("an answer to {question:?}"), async || {
            let mut arguments = vec!["query"];
            arguments.extend(question.iter().map(String::as_str));
            arguments.extend(["--port-offset", offset.as_str(), "--json"]);
            let output = tokio::task::block_in_place(|| run(&arguments));
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let places = ["/data/result/0", "/data/rows/0", "/traces/0"];
            let found = places.iter().any(|place| json.pointer(place).is_some());
            (found || !must_find).then_some(())
        })
        .await;
    }
    stella.stop().await;
}
