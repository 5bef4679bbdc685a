// An Azure Blob server for the tests: Azurite's, in memory, on a free port of the loopback address, with one container.
// It says its port in one line of JSON and ends with its standard input, so that it never outlives its test.
// Usage: blob_server.js NODE_MODULES CONTAINER

const crypto = require("crypto");
const http = require("http");
const path = require("path");

// Azurite's well-known account.
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const [modules, container] = process.argv.slice(2);

function createContainer(port) {
  const version = "2021-12-02";
  const date = new Date().toUTCString();
  const resource = `/${ACCOUNT}/${ACCOUNT}/${container}\nrestype:container`;
  const text = ["PUT", ...Array(11).fill(""), `x-ms-date:${date}`, `x-ms-version:${version}`, resource].join("\n");
  const signature = crypto.createHmac("sha256", Buffer.from(KEY, "base64")).update(text, "utf8").digest("base64");
  const headers = {
    "Content-Length": 0,
    "x-ms-date": date,
    "x-ms-version": version,
    Authorization: `SharedKey ${ACCOUNT}:${signature}`,
  };
  const target = { host: "127.0.0.1", port, method: "PUT", path: `/${ACCOUNT}/${container}?restype=container`, headers };
  return new Promise((resolve, reject) => {
    const request = http.request(target, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    request.on("error", reject);
    request.end();
  });
}

// Azurite says where it listens; that is the one line that is passed on, in another form.
const say = console.log;
console.log = (line) => {
  const listens = /listens on http:\/\/[^:]+:(\d+)/.exec(String(line));
  if (listens === null) {
    return;
  }
  const port = Number(listens[1]);
  createContainer(port).then((status) => {
    if (status !== 201) {
      console.error(`the container was not made: status=${status}`);
      process.exit(1);
    }
    say(JSON.stringify({ port }));
  });
};

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

process.argv.splice(2);
process.argv.push("--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", "0");
process.argv.push("--skipApiVersionCheck", "--disableTelemetry", "--silent");
require(path.resolve(modules, "azurite/dist/src/blob/main.js"));
