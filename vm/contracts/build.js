// Compiles src/*.sol with npm's solc into out/NAME.json, in Foundry's form. With --check nothing is
// written, and the run fails when an artifact is not what its source compiles to.

import { readdirSync, readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const check = process.argv.includes("--check");
const names = readdirSync(join(here, "src")).filter((name) => name.endsWith(".sol")).sort();
const sources = names.map((name) => [`src/${name}`, { content: readFileSync(join(here, "src", name), "utf8") }]);

const input = {
  language: "Solidity",
  sources: Object.fromEntries(sources),
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 1000 },
    // No hash of the metadata at the end: the same source gives the same bytes everywhere.
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode"] } },
  },
};

const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const message of output.errors ?? []) console.error(message.formattedMessage);
if (output.errors?.length) process.exit(1);

let stale = 0;
mkdirSync(join(here, "out"), { recursive: true });
for (const name of names) {
  const contract = name.replace(".sol", "");
  const { abi, metadata, evm } = output.contracts[`src/${name}`][contract];
  const { compiler, sources } = JSON.parse(metadata);
  const artifact = {
    contractName: contract,
    compiler: compiler.version,
    source: { path: `src/${name}`, keccak256: sources[`src/${name}`].keccak256 },
    abi,
    bytecode: { object: `0x${evm.bytecode.object}` },
    deployedBytecode: {
      object: `0x${evm.deployedBytecode.object}`,
      immutableReferences: evm.deployedBytecode.immutableReferences,
    },
  };
  const path = join(here, "out", `${contract}.json`);
  const text = JSON.stringify(artifact, null, 2) + "\n";
  if (!check) {
    writeFileSync(path, text);
  } else if (readFileSync(path, "utf8") !== text) {
    console.error(`${path} is not what ${name} compiles to`);
    stale += 1;
  }
}
console.log(`${names.length} contracts ${check ? "checked" : "compiled"} with solc ${solc.version()}`);
process.exit(stale > 0 ? 1 : 0);
