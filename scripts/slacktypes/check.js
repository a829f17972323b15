// Compiles every message and view of the golden files against @slack/types:
// each becomes a literal of KnownBlock[] or View, so that a field which Slack
// does not publish is an error, as are a missing one and a wrong type.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const golden = join(root, "internal", "slackbot");

// *.blocks: "# text" begins a message, each line after it is a block.
// *.view.json: one modal or home.
const units = [];
for (const file of readdirSync(golden, { recursive: true }).sort()) {
  if (!dirname(file).endsWith("testdata")) continue;
  const text = () => readFileSync(join(golden, file), "utf8");
  if (file.endsWith(".blocks")) {
    let blocks;
    for (const line of text().split("\n")) {
      if (line.startsWith("# ")) units.push({ file, type: "KnownBlock[]", json: (blocks = []) });
      else if (line) blocks.push(line);
    }
  } else if (file.endsWith(".view.json")) {
    units.push({ file, type: basename(file).includes("home") ? "HomeView" : "ModalView", json: text() });
  }
}

const out = join(here, "generated");
rmSync(out, { recursive: true, force: true });
mkdirSync(out);
const names = [];
for (const [i, u] of units.entries()) {
  const value = Array.isArray(u.json) ? `[\n${u.json.join(",\n")}\n]` : u.json;
  // A view's blocks are AnyBlock in the types, which takes anything: they are held to KnownBlock.
  const type = u.type === "KnownBlock[]" ? u.type : `Omit<${u.type}, "blocks"> & { blocks: KnownBlock[] }`;
  const name = join(out, `${String(i).padStart(3, "0")}.ts`);
  writeFileSync(name, `// ${u.file}\nimport type { HomeView, KnownBlock, ModalView } from "@slack/types";\nexport const it: ${type} = ${value};\n`);
  names.push(name);
}

const program = ts.createProgram(names, {
  strict: true, noEmit: true, skipLibCheck: false, types: [],
  module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2022,
});
let problems = 0;
for (const d of ts.getPreEmitDiagnostics(program)) {
  problems++;
  const at = d.file ? d.file.getLineAndCharacterOfPosition(d.start) : { line: 0 };
  const from = d.file ? readFileSync(d.file.fileName, "utf8").split("\n")[0].slice(3) : "";
  console.log(`${from} (${d.file ? relative(here, d.file.fileName) : ""}:${at.line + 1}): ${ts.flattenDiagnosticMessageText(d.messageText, "\n").slice(0, 1500)}`);
}
console.log(`${units.length} messages and views of ${new Set(units.map((u) => u.file)).size} golden files, ${problems} problems`);
process.exit(problems || !units.length ? 1 : 0);
