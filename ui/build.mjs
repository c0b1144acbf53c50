// Builds everything the browser loads into static/dist: one script, one style
// sheet, one small script that sets the theme before the first paint, and the
// icons. Names carry a hash of the content, so they may be cached for ever;
// manifest.json maps plain names to hashed ones. The same inputs give the same
// bytes.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { PurgeCSS } from "purgecss";

const dist = "static/dist/";
const pages = readdirSync(".").filter((name) => name.endsWith(".templ"));
const scripts = readdirSync("static/src").filter((name) => name.endsWith(".js")).map((name) => "static/src/" + name);
const sources = [...pages, ...scripts];
const manifest = {};

// quiet has Alpine look at fewer names when it lists what expressions may not touch: that
// alone is a deprecated use of a fenced frame, which each browser logs, and has the page laid
// out for the size of the window and how far it is scrolled, before it is painted. Alpine
// leaves out others for the same reason; ours name none of these, and most are numbers.
const quiet = {
  name: "quiet",
  setup({ onLoad }) {
    onLoad({ filter: /alpinejs.csp.dist.module\.esm\.js$/ }, ({ path }) => {
      const before = 'if (key === "styleMedia"', text = readFileSync(path, "utf8");
      if (!text.includes(before)) throw new Error(`${path} has no ${before}: is this still needed?`);
      return { contents: text.replace(before, 'if (/fence|^(inner|outer|scroll|page)[WHXYO]/i.test(key) || key === "styleMedia"') };
    });
  },
};

// bundle returns the bundled and minified text of one entry point.
async function bundle(entry) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    target: ["chrome109", "firefox115", "safari16"],
    legalComments: "none",
    loader: { ".svg": "dataurl" },
    logLevel: "warning",
    plugins: [quiet],
  });
  return result.outputFiles[0].text;
}

// unused are parts of Tabler that no page has, though it has the words.
const unused = /^(alert|avatar|prose|signal|steps?)(-|$)/;

// purge drops the rules for elements that no page has: Tabler is 620 kB, and
// the pages use a twentieth of it. With a rule for whatever comes after another
// element, a browser styles a whole page anew when anything is put into its body.
async function purge(css) {
  const [result] = await new PurgeCSS().purge({
    content: sources,
    css: [{ raw: css }],
    safelist: [/^data-bs-theme/],
    blocklist: [unused],
    variables: true,
    keyframes: true,
    fontFace: true,
  });
  return result.css.replace(/[^{},]*[+~]\s*\*[^{}]*\{[^{}]*\}/g, "");
}

// sprite returns the icons the pages name, as symbols of one SVG.
function sprite() {
  const names = new Set();
  for (const file of pages) {
    for (const [, name] of readFileSync(file, "utf8").matchAll(/@icon\("([a-z0-9-]+)"/g)) names.add(name);
  }
  const symbols = [...names].sort().map((name) => {
    const svg = readFileSync(`node_modules/@tabler/icons/icons/outline/${name}.svg`, "utf8");
    const body = svg.replace(/<!--[^]*?-->/g, "").replace(/<\/?svg[^>]*>/g, "").replace(/\s*\n\s*/g, "");
    return `<symbol id="i-${name}" viewBox="0 0 24 24">${body.trim()}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" hidden>${symbols.join("")}</svg>`;
}

// licences are the notices of what is bundled, which must go with every copy.
function licences() {
  const bundled = ["@alpinejs/csp", "@noble/hashes", "@tabler/core", "@tabler/icons", "@vue/reactivity", "htmx.org", "uplot"];
  return bundled.map((name) => {
    const folder = `node_modules/${name}/`;
    const about = JSON.parse(readFileSync(folder + "package.json", "utf8"));
    const author = about.author?.name ?? about.author ?? `the authors of ${name}`;
    const file = folder + "LICENSE";
    const text = existsSync(file) ? readFileSync(file, "utf8").trim() : `${about.license} licence. Copyright ${author}`;
    return `${name} ${about.version}\n\n${text}\n`;
  }).join(`\n${"-".repeat(72)}\n\n`);
}

// put writes a file under its hashed name, and compressed beside it.
function put(name, text) {
  const data = Buffer.from(text);
  const hash = createHash("sha256").update(data).digest("hex").slice(0, 10);
  const hashed = name.replace(/\.[a-z]+$/, (extension) => `-${hash}${extension}`);
  writeFileSync(dist + hashed, data);
  writeFileSync(dist + hashed + ".gz", gzipSync(data, { level: 9 }));
  manifest[name] = hashed;
  console.log(`${hashed.padEnd(28)} ${data.length} bytes`);
}

for (const name of readdirSync(dist)) {
  if (name !== ".gitkeep") rmSync(dist + name);
}
put("app.css", (await purge(await bundle("static/src/tabler.css"))) + (await bundle("static/src/app.css")));
put("app.js", await bundle("static/src/app.js"));
put("chart.js", await bundle("static/src/chart.js"));
put("upload.js", await bundle("static/src/upload.js"));
put("theme.js", await bundle("static/src/theme.js"));
put("icons.svg", sprite());
put("logo.svg", readFileSync("static/src/logo.svg", "utf8").trim());
put("licences.txt", licences());
writeFileSync(dist + "manifest.json", JSON.stringify(manifest, null, 2) + "\n");
