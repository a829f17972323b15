// Sends the requests of internal/slackbot/receive/testdata/requests.json to the
// two HTTP receivers of Slack's Bolt and compares what they decide with what the
// file says they do, and with what profbot does. profbot's part of it is held by
// go test ./internal/slackbot/receive. With --write the file learns what Bolt does.
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { gzipSync } from "node:zlib";
import bolt from "@slack/bolt";

const path = new URL("../../internal/slackbot/receive/testdata/requests.json", import.meta.url);
const file = JSON.parse(readFileSync(path, "utf8"));
const silent = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel: () => "error", setName() {} };

// start serves one receiver, with an app behind it that acknowledges all it gets.
async function start(Receiver) {
  const receiver = new Receiver({ signingSecret: file.secret, endpoints: ["/slack/events"], logger: silent });
  const got = { delivered: 0 };
  receiver.init({
    async processEvent(event) {
      got.delivered++;
      await event.ack();
    },
  });
  const server = await receiver.start({ port: 0, host: "127.0.0.1" });
  return { receiver, got, port: server.address().port };
}

function sign(secret, ts, body) {
  return createHmac("sha256", secret).update(`v0:${ts}:`).update(body).digest("hex");
}

function build(c) {
  const now = Math.floor(Date.now() / 1000);
  let body = c.base64 ? Buffer.from(c.base64, "base64") : Buffer.from((c.body ?? "") + "x".repeat(c.fill ?? 0));
  if (c.gzip) body = gzipSync(body);
  const ts = now - (c.age ?? 0);
  const s = c.sign ?? {};
  const sig = sign(s.secret ?? file.secret, s.age === undefined ? ts : now - s.age, s.body === undefined ? body : Buffer.from(s.body));
  const headers = { "X-Slack-Request-Timestamp": ["{ts}"], "X-Slack-Signature": ["v0={sig}"], ...c.headers };
  if (c.type) headers["Content-Type"] = [c.type];
  for (const [name, values] of Object.entries(headers)) {
    headers[name] = values.map((v) =>
      v.replace("{ts}", ts).replace("{sig}", sig).replace("{SIG}", sig.toUpperCase()).replace("{sig62}", sig.slice(0, 62)));
    if (values.length === 0) delete headers[name];
  }
  return { body, headers };
}

function send(port, c, { body, headers }) {
  return new Promise((resolve, reject) => {
    const req = http.request({ port, host: "127.0.0.1", method: c.method ?? "POST", path: "/slack/events" + (c.query ?? ""), agent: false });
    for (const [name, values] of Object.entries(headers)) req.setHeader(name, values);
    if (!c.chunked && c.method !== "GET") req.setHeader("Content-Length", body.length);
    req.on("response", (res) => { res.resume(); resolve(res.statusCode); req.on("error", () => {}); });
    req.on("error", reject);
    if (c.chunked) { req.write(body.subarray(0, 10)); req.end(body.subarray(10)); } else req.end(c.method === "GET" ? undefined : body);
  });
}

const receivers = { http: await start(bolt.HTTPReceiver), express: await start(bolt.ExpressReceiver) };
let same = 0, stricter = 0, bad = 0;
for (const c of file.cases) {
  const found = {};
  for (const [name, r] of Object.entries(receivers)) {
    r.got.delivered = 0;
    let status;
    let request = build(c);
    for (let i = 0; i < (c.send ?? 1); i++) {
      if (i > 0 && c.resign) request = build({ ...c, age: (c.age ?? 0) - i });
      status = await send(r.port, c, request);
    }
    found[name] = { decision: status === 200 ? "accept" : "refuse", status, delivered: r.got.delivered };
  }
  if (process.argv.includes("--write")) c.bolt = found;
  else if (JSON.stringify(c.bolt) !== JSON.stringify(found)) {
    bad++;
    console.log(`${c.name}: Bolt does ${JSON.stringify(found)}, the file says ${JSON.stringify(c.bolt)}`);
  }
  const agree = found.http.decision === c.want;
  if (agree) same++;
  else if (c.want === "refuse" && c.why) {
    stricter++;
    console.log(`stricter than Bolt: ${c.name}: ${c.why}`);
  } else {
    bad++;
    console.log(`${c.name}: Bolt decides ${JSON.stringify(found)}, profbot ${c.want}`);
  }
  if (found.http.decision !== found.express.decision) console.log(`Bolt's receivers differ: ${c.name}: ${JSON.stringify(found)}`);
}
for (const r of Object.values(receivers)) await r.receiver.stop();
if (process.argv.includes("--write")) {
  const { cases, ...head } = file;
  const lines = cases.map((c) => "    " + JSON.stringify(c).replace(/[\u007f-\uffff]/g, (u) => "\\u" + u.charCodeAt(0).toString(16).padStart(4, "0")));
  writeFileSync(path, JSON.stringify(head, null, 2).replace(/\n}$/, `,\n  "cases": [\n${lines.join(",\n")}\n  ]\n}\n`));
}
console.log(`${file.cases.length} requests: ${same} decided as Bolt's HTTPReceiver does, ${stricter} refused that it accepts, ${bad} wrong`);
process.exitCode = bad === 0 ? 0 : 1;
