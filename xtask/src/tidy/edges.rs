//! The edges between the crates: the one table of what may see what, checked against the manifests, and
//! against the copy of the table that `ARCHITECTURE.md` shows. Dev-dependencies are not edges: tests may
//! meet whom they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, PackageId};

use super::words::EMPTY_NAMES;
use super::{TextFile, Violation};

/// What each crate may see; besides, everything sees `model`.
const EDGES: [(&str, &[&str]); 14] = [
    ("model", &[]),
    ("wire", &[]),
    ("storage", &[]),
    ("syntax", &[]),
    ("promql", &["syntax"]),
    ("logql", &["syntax", "promql"]),
    ("traceql", &["syntax"]),
    ("query", &["storage", "promql", "logql", "traceql"]),
    ("collector", &["wire"]),
    ("api", &["wire", "query"]),
    ("rules", &["query"]),
    ("security", &[]),
    ("bundle", &[]),
    (
        "server",
        &[
            "wire",
            "storage",
            "syntax",
            "promql",
            "logql",
            "traceql",
            "query",
            "collector",
            "api",
            "rules",
            "security",
            "bundle",
        ],
    ),
];

/// A crate that others may not see, directly or at any distance.
struct Never {
    /// Whom the rule binds; empty binds every crate but `except`.
    rooms: &'static [&'static str],
    except: &'static [&'static str],
    /// The start of the names of the crates that must not be seen; siblings are matched whole.
    target: &'static str,
    /// Whether a dependency of a dependency counts too.
    is_transitive: bool,
    reason: &'static str,
}

const PURE: &[&str] = &["model", "syntax", "promql", "logql", "traceql"];

const NEVER: [Never; 8] = [
    Never {
        rooms: PURE,
        except: &[],
        target: "tokio",
        is_transitive: true,
        reason: "it computes and never waits",
    },
    Never { rooms: PURE, except: &[], target: "axum", is_transitive: true, reason: "it speaks no protocol" },
    Never {
        rooms: PURE,
        except: &[],
        target: "datafusion",
        is_transitive: true,
        reason: "only `query` sees DataFusion",
    },
    Never {
        rooms: PURE,
        except: &[],
        target: "storage",
        is_transitive: true,
        reason: "the language asks, it does not read",
    },
    Never {
        rooms: &[],
        except: &["query"],
        target: "datafusion",
        is_transitive: false,
        reason: "only `query` sees DataFusion",
    },
    Never {
        rooms: &[],
        except: &["query", "server"],
        target: "storage",
        is_transitive: false,
        reason: "only `query` and `server` see storage",
    },
    Never {
        rooms: &["model"],
        except: &[],
        target: "serde",
        is_transitive: false,
        reason: "every protocol owns its encoding",
    },
    Never {
        rooms: &["collector", "api", "rules"],
        except: &[],
        target: "security",
        is_transitive: true,
        reason: "it receives a context, it does not make one",
    },
];

/// The tools of the workspace: no rooms, and nobody's dependencies.
const TOOLS: [&str; 2] = ["fuzz", "xtask"];

/// The crates of the workspace and what they see.
pub(crate) struct Graph {
    rooms: BTreeMap<String, Room>,
}

#[derive(Default)]
struct Room {
    /// The manifest, relative to the root.
    manifest: PathBuf,
    /// Normal and build dependencies; siblings by their room's name, others by their package's.
    direct: BTreeSet<String>,
    /// Everything that normal dependencies lead to.
    reached: BTreeSet<String>,
}

impl Graph {
    /// Takes the workspace's part out of cargo's resolved graph.
    pub(crate) fn from_metadata(metadata: &Metadata) -> anyhow::Result<Self> {
        let resolve = metadata.resolve.as_ref().context("cargo metadata gave no resolved graph")?;
        let nodes: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
            .nodes
            .iter()
            .map(|node| {
                let is_normal = |kind: DependencyKind| kind == DependencyKind::Normal;
                let deps =
                    node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| is_normal(kind.kind)));
                (&node.id, deps.map(|dep| &dep.pkg).collect())
            })
            .collect();
        let mut rooms = BTreeMap::new();
        for package in metadata.workspace_packages() {
            let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root)?;
            let direct = package.dependencies.iter().filter(|dep| dep.kind != DependencyKind::Development);
            let mut reached = BTreeSet::new();
            let mut waiting = vec![&package.id];
            while let Some(id) = waiting.pop() {
                for &next in nodes.get(id).into_iter().flatten() {
                    if reached.insert(next) {
                        waiting.push(next);
                    }
                }
            }
            let room = Room {
                manifest: manifest.as_std_path().to_owned(),
                direct: direct.map(|dep| room_name(&dep.name)).collect(),
                reached: reached.into_iter().map(|id| room_name(&metadata[id].name)).collect(),
            };
            rooms.insert(room_name(&package.name), room);
        }
        Ok(Self { rooms })
    }

    /// How many crates the workspace has.
    pub(crate) fn crate_count(&self) -> usize {
        self.rooms.len()
    }

    /// Every edge that the table or the list of the forbidden does not allow.
    pub(crate) fn check(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (name, room) in self.rooms.iter().filter(|(name, _)| !TOOLS.contains(&name.as_str())) {
            let mut complain = |message: String| violations.push(Violation::new(&room.manifest, 1, message));
            let allowed = EDGES.iter().find(|(from, _)| from == name).map(|(_, to)| *to);
            if allowed.is_none() {
                complain(format!(
                    "`{name}` is no room of the edge table: a new crate is a decision of its own"
                ));
            }
            if name.split(['-', '_']).any(|part| EMPTY_NAMES.contains(&part)) {
                complain(format!("`{name}` does not say what lives there"));
            }
            for sibling in room.direct.iter().filter(|to| self.rooms.contains_key(*to) && *to != "model") {
                if !allowed.unwrap_or_default().contains(&sibling.as_str()) {
                    complain(format!("the edge `{name} -> {sibling}` is not in the table"));
                }
            }
            for never in NEVER.iter().filter(|never| never.binds(name)) {
                let seen = if never.is_transitive { &room.reached } else { &room.direct };
                for target in seen.iter().filter(|target| never.forbids(target, self)) {
                    complain(format!("`{name}` must not see `{target}`: {}", never.reason));
                }
            }
        }
        violations
    }
}

impl Never {
    fn binds(&self, name: &str) -> bool {
        (self.rooms.is_empty() || self.rooms.contains(&name)) && !self.except.contains(&name)
    }

    fn forbids(&self, target: &str, graph: &Graph) -> bool {
        if graph.rooms.contains_key(target) || EDGES.iter().any(|(room, _)| *room == self.target) {
            return target == self.target;
        }
        target.strip_prefix(self.target).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    }
}

/// `stella-model` is the room `model`; `stella`, the binary, is the room `server`.
fn room_name(package: &str) -> String {
    match package.strip_prefix("stella-") {
        Some(room) => room.to_owned(),
        None if package == "stella" => "server".to_owned(),
        None => package.to_owned(),
    }
}

/// Compares the document's block fenced by `edges` with the table. Each line is `crate -> a b c`; `model`
/// goes without saying on the right, and `all` stands for every other crate.
pub(crate) fn check_table(document: &TextFile) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut complain =
        |line: usize, message: String| violations.push(Violation::new(&document.path, line, message));
    let numbered = || document.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let Some((opening, _)) = numbered().find(|(_, line)| *line == "```edges") else {
        complain(1, "the edge table, a block fenced by ```edges, is missing".to_owned());
        return violations;
    };
    let mut written = BTreeSet::new();
    for (number, line) in numbered().skip(opening).take_while(|(_, line)| *line != "```") {
        if line.is_empty() {
            continue;
        }
        let Some((from, to)) = line.split_once("->") else {
            complain(number, "an edge line is `crate -> a b c`".to_owned());
            continue;
        };
        let from = from.trim();
        let Some((_, allowed)) = EDGES.iter().find(|(room, _)| *room == from) else {
            complain(number, format!("`{from}` is no crate of the edge table"));
            continue;
        };
        if !written.insert(from) {
            complain(number, format!("`{from}` has two lines"));
        }
        let to: BTreeSet<&str> = to.split_whitespace().filter(|name| *name != "model").collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        if to != allowed && !(to.len() == 1 && to.contains("all") && allowed.len() == EDGES.len() - 2) {
            let table: Vec<&str> = allowed.into_iter().collect();
            complain(number, format!("the code's table says `{from} -> {}`", table.join(" ")));
        }
    }
    for (room, _) in EDGES.iter().filter(|(room, _)| !written.contains(room)) {
        complain(opening, format!("`{room}` has no line in the edge table"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{file, printed};

    /// A workspace where each entry is a crate, what it names and what else it reaches.
    fn graph(rooms: &[(&str, &[&str], &[&str])]) -> Graph {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let room = |(name, direct, further): &(&str, &[&str], &[&str])| {
            let reached = set(direct).union(&set(further)).cloned().collect();
            ((*name).to_owned(), Room { manifest: "Cargo.toml".into(), direct: set(direct), reached })
        };
        let mut rooms: BTreeMap<String, Room> = rooms.iter().map(room).collect();
        for (name, _) in EDGES {
            rooms.entry(name.to_owned()).or_default();
        }
        Graph { rooms }
    }

    #[test]
    fn forbidden_edges_are_named() {
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str);
        let cases: [Case<'_>; 13] = [
            ("api", &["model", "wire", "query", "axum"], &["tokio", "storage"], ""),
            ("query", &["storage", "datafusion", "tokio"], &["datafusion-expr"], ""),
            ("server", &["security", "storage", "tokio"], &["datafusion"], ""),
            ("collector", &["query"], &[], "the edge `collector -> query` is not in the table"),
            (
                "api",
                &["storage"],
                &[],
                "the edge `api -> storage` is not in the table\n`api` must not see `storage`: only `query` and `server` see storage",
            ),
            ("promql", &["arrow"], &["tokio"], "`promql` must not see `tokio`: it computes and never waits"),
            ("logql", &["axum"], &[], "`logql` must not see `axum`: it speaks no protocol"),
            (
                "traceql",
                &["syntax"],
                &["datafusion-expr"],
                "`traceql` must not see `datafusion-expr`: only `query` sees DataFusion",
            ),
            (
                "syntax",
                &["model"],
                &["storage"],
                "`syntax` must not see `storage`: the language asks, it does not read",
            ),
            (
                "server",
                &["datafusion"],
                &[],
                "`server` must not see `datafusion`: only `query` sees DataFusion",
            ),
            (
                "model",
                &["serde_json"],
                &[],
                "`model` must not see `serde_json`: every protocol owns its encoding",
            ),
            (
                "rules",
                &["query"],
                &["security"],
                "`rules` must not see `security`: it receives a context, it does not make one",
            ),
            (
                "common",
                &[],
                &[],
                "`common` does not say what lives there\n`common` is no room of the edge table: a new crate is a decision of its own",
            ),
        ];
        for (room, direct, further, expected) in cases {
            let found: Vec<String> = printed(graph(&[(room, direct, further)]).check())
                .iter()
                .map(|line| line.trim_start_matches("Cargo.toml:1: ").to_owned())
                .collect();
            let mut expected: Vec<&str> = expected.split('\n').filter(|line| !line.is_empty()).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{room} sees {direct:?} and reaches {further:?}");
        }
    }

    #[test]
    fn package_names_become_rooms() {
        for (package, room) in
            [("stella-model", "model"), ("stella", "server"), ("xtask", "xtask"), ("tokio", "tokio")]
        {
            assert_eq!(room_name(package), room);
        }
    }

    fn table() -> String {
        let lines: Vec<String> =
            EDGES.iter().map(|(from, to)| format!("{from} -> model {}", to.join(" "))).collect();
        format!("Edges:\n```edges\n{}\n```\n", lines.join("\n"))
    }

    #[test]
    fn the_documents_table_equals_the_codes() {
        let found = |text: &str| printed(check_table(&file("A.md", text)));
        assert!(found(&table()).is_empty());
        let all: Vec<String> = table()
            .lines()
            .map(|line| if line.starts_with("server") { "server -> all" } else { line }.to_owned())
            .collect();
        assert!(found(&all.join("\n")).is_empty());
        assert_eq!(found("no table\n"), ["A.md:1: the edge table, a block fenced by ```edges, is missing"]);
        let wrong = table()
            .replace("rules -> model query", "rules -> query storage")
            .replace("wire -> model \n", "")
            .replace("bundle ->", "parcel ->")
            .replace("security -> model", "security sees model");
        assert_eq!(
            found(&wrong),
            [
                "A.md:2: `bundle` has no line in the edge table",
                "A.md:2: `security` has no line in the edge table",
                "A.md:2: `wire` has no line in the edge table",
                "A.md:12: the code's table says `rules -> query`",
                "A.md:13: an edge line is `crate -> a b c`",
                "A.md:14: `parcel` is no crate of the edge table",
            ]
        );
    }
}
