// Opens each report and looks at it as a reader would: node check.mjs CHROMIUM FILE...
import { basename, resolve } from "node:path";
import axe from "axe-core";
import puppeteer from "puppeteer-core";

const [chromium, ...files] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox"] });
const wrong = [];
for (const file of files) {
  for (const look of ["light", "dark", "print"]) {
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 900 });
    // The page forbids scripts of its own; this one is the checker's.
    await page.setBypassCSP(true);
    const say = (what) => wrong.push(`${file} (${look}): ${what}`);
    page.on("console", (message) => ["error", "warn"].includes(message.type()) && say(message.text()));
    page.on("request", (request) => request.url().startsWith("file:") || say(`asks for ${request.url()}`));
    if (look === "print") await page.emulateMediaType("print");
    else await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: look }]);
    await page.goto(`file://${resolve(file)}`);
    if ((await page.$$("script")).length > 0) say("has a script");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    if (wide) say("is wider than the window");
    await page.evaluate(axe.source);
    const found = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
    for (const one of found.violations) {
      const where = one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ");
      const line = `${one.id} (${one.impact}): ${one.help}: ${where}`;
      if (["serious", "critical"].includes(one.impact)) say(line);
      else console.log(`${file} (${look}), noted: ${line}`);
    }
    console.log(`${file} (${look}): ${found.passes.length} rules of axe-core ${axe.version} passed, ${found.violations.length} not`);
    await page.screenshot({ path: `${basename(file, ".html")}-${look}.png`, fullPage: look !== "print" });
    if (look === "print") await page.pdf({ path: `${basename(file, ".html")}.pdf`, format: "A4" });
    await page.close();
  }
}
// That the check can fail is seen at a page that is made to.
const page = await browser.newPage();
await page.setContent("<html><body><img src='data:,'><p style='color:#eee;background:#fff'>faint</p></body></html>");
await page.evaluate(axe.source);
const bad = await page.evaluate(() => window.axe.run());
if (!bad.violations.some((one) => one.id === "image-alt") || !bad.violations.some((one) => one.id === "color-contrast")) {
  wrong.push("the check does not see a page that is not accessible");
}
console.log(`${await browser.version()}`);
await browser.close();
wrong.forEach((line) => console.error(`WRONG: ${line}`));
process.exit(wrong.length > 0 ? 1 : 0);
