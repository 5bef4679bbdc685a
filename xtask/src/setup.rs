//! `cargo xtask setup`: what the tests need beyond cargo. It installs what is missing, leaves alone what is
//! there, and starts no service. A stamp beside the Python environment makes the second run instant.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::workspace::Workspace;

/// The pinned Python packages of the end-to-end tests, relative to the root.
const REQUIREMENTS: &str = "tests/python/requirements.txt";
/// The folder with the pinned packages of node that the tests start, relative to the root.
const NODE: &str = "tests/node";
/// The Debian package with `prometheus` and `promtool`.
const PROMETHEUS_PACKAGE: &str = "prometheus";
/// Debian asks this script whether a freshly installed service may start; exit code 101 says no.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// The programs that the tests start.
pub(crate) struct Tools {
    /// The environment's interpreter, with the pinned packages.
    pub(crate) python: PathBuf,
    /// Prometheus itself.
    pub(crate) prometheus: PathBuf,
    /// Prometheus' command line tool.
    pub(crate) promtool: PathBuf,
    /// The folder with the pinned packages of node.
    pub(crate) node_modules: PathBuf,
}

/// Makes sure that every tool is there, and says where.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Tools> {
    if find_program("prometheus").is_none() || find_program("promtool").is_none() {
        install_debian(PROMETHEUS_PACKAGE)?;
    }
    let program = |name: &str| find_program(name).with_context(|| format!("`{name}` is not on the PATH"));
    let tools = Tools {
        prometheus: program("prometheus")?,
        promtool: program("promtool")?,
        python: python_environment(workspace)?,
        node_modules: node_modules(workspace)?,
    };
    println!("setup: {}", tools.prometheus.display());
    println!("setup: {}", tools.promtool.display());
    println!("setup: {}", tools.python.display());
    println!("setup: {}", tools.node_modules.display());
    Ok(tools)
}

/// The first executable of that name on the `PATH`.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

fn install_debian(package: &str) -> anyhow::Result<()> {
    let by_hand = format!("install the Debian package `{package}`, or put its programs on the PATH");
    ensure!(find_program("apt-get").is_some(), "apt-get is missing: {by_hand}");
    ensure!(is_root()?, "only root may install packages: {by_hand}");
    println!("setup: installing the Debian package {package}");
    let _policy = ServicePolicy::forbid()?;
    if !apt(&["install", "--yes", "--no-install-recommends", package], Stdio::null)? {
        // The package lists are absent or old.
        ensure!(apt(&["update"], Stdio::inherit)?, "apt-get update failed: {by_hand}");
        let installed = apt(&["install", "--yes", "--no-install-recommends", package], Stdio::inherit)?;
        ensure!(installed, "apt-get install {package} failed: {by_hand}");
    }
    Ok(())
}

fn apt(arguments: &[&str], stream: fn() -> Stdio) -> anyhow::Result<bool> {
    let status = Command::new("apt-get")
        .arg("--quiet")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(stream())
        .stderr(stream())
        .status()
        .context("apt-get could not be started")?;
    Ok(status.success())
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("id could not be started")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// Keeps installed services from starting while it lives; a policy that was there before stays.
struct ServicePolicy {
    is_ours: bool,
}

impl ServicePolicy {
    fn forbid() -> anyhow::Result<Self> {
        if Path::new(SERVICE_POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        fs::write(SERVICE_POLICY, "#!/bin/sh\nexit 101\n").context("the service policy cannot be written")?;
        let made_executable = Command::new("chmod").args(["755", SERVICE_POLICY]).status()?.success();
        let policy = Self { is_ours: true };
        ensure!(made_executable, "{SERVICE_POLICY} cannot be made executable");
        Ok(policy)
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = fs::remove_file(SERVICE_POLICY)
        {
            eprintln!("warning: {SERVICE_POLICY} was not removed, services will not start: {error}");
        }
    }
}

/// The interpreter of the environment in the target folder, made or made anew when the pins have changed.
fn python_environment(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let environment = workspace.target.join("venv");
    let python = environment.join("bin/python");
    let stamp = environment.join("requirements.stamp");
    let requirements = fs::read_to_string(workspace.path(REQUIREMENTS))
        .with_context(|| format!("{REQUIREMENTS} cannot be read"))?;
    if is_current(&python, &stamp, &requirements) {
        return Ok(python);
    }
    println!("setup: installing the Python packages of {REQUIREMENTS}");
    fs::create_dir_all(&workspace.target)?;
    make_environment(&environment)?;
    let status = Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--requirement",
        ])
        .arg(workspace.path(REQUIREMENTS))
        .status()
        .context("pip could not be started")?;
    ensure!(
        status.success(),
        "pip could not install {REQUIREMENTS}: a Python package index must be reachable"
    );
    fs::write(&stamp, &requirements).context("the stamp of the Python environment cannot be written")?;
    Ok(python)
}

/// Whether the environment was made from exactly these requirements; the stamp is a copy of them.
fn is_current(python: &Path, stamp: &Path, requirements: &str) -> bool {
    python.exists() && fs::read_to_string(stamp).is_ok_and(|made_from| made_from == requirements)
}

/// The packages of node in the target folder, installed or installed anew when the pins have changed.
fn node_modules(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    for program in ["node", "npm"] {
        if find_program(program).is_none() {
            install_debian(if program == "node" { "nodejs" } else { "npm" })?;
        }
    }
    let folder = workspace.target.join("node");
    let modules = folder.join("node_modules");
    let stamp = folder.join("package-lock.stamp");
    let read = |name: &str| {
        let path = workspace.path(NODE).join(name);
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    if is_current(&modules, &stamp, &lock) {
        return Ok(modules);
    }
    println!("setup: installing the node packages of {NODE}");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), package)?;
    fs::write(folder.join("package-lock.json"), &lock)?;
    // No package may run programs of its own; none of these needs it.
    let status = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .status()
        .context("npm could not be started")?;
    ensure!(status.success(), "npm could not install {NODE}: a registry of node packages must be reachable");
    fs::write(&stamp, &lock).context("the stamp of the node packages cannot be written")?;
    Ok(modules)
}

fn make_environment(environment: &Path) -> anyhow::Result<()> {
    let interpreter =
        find_program("python3").context("`python3` is not on the PATH: install Python 3.11 or later")?;
    let make = || {
        Command::new(&interpreter)
            .args(["-m", "venv", "--clear"])
            .arg(environment)
            .status()
            .context("python3 could not be started")
    };
    if make()?.success() {
        return Ok(());
    }
    // Debian's python3 comes without the module that makes environments.
    install_debian("python3-venv")?;
    if !make()?.success() {
        bail!("`python3 -m venv` failed: install the Debian package `python3-venv`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_current_only_for_its_own_requirements() {
        let folder = env::temp_dir().join(format!("stella-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (python, stamp) = (folder.join("python"), folder.join("stamp"));
        assert!(!is_current(&python, &stamp, "a==1\n"), "nothing is there");
        fs::write(&stamp, "a==1\n").unwrap();
        assert!(!is_current(&python, &stamp, "a==1\n"), "the interpreter is missing");
        fs::write(&python, "").unwrap();
        assert!(is_current(&python, &stamp, "a==1\n"));
        assert!(!is_current(&python, &stamp, "a==2\n"), "the pins have changed");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("cargo").is_some_and(|cargo| cargo.is_file()));
        assert!(find_program("no-such-program-of-stella").is_none());
    }
}
