// Statements to the demo's own cluster, as a person at the server would give them.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

// The one on the path, or Debian's newest.
const psql = (() => {
  const root = "/usr/lib/postgresql";
  const found = (existsSync(root) ? readdirSync(root) : []).sort().reverse().map((version) => `${root}/${version}/bin/psql`);
  return found.find(existsSync) ?? "psql";
})();

/** What a statement answers, without names of columns, one row a line. */
export const sql = (url: string, text: string) =>
  execFileSync(psql, ["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, url], { encoding: "utf8" }).trim();
