import { defineConfig } from "@playwright/test";

// `script/lib/end2end` starts the demo and says where it is.
export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  // Long, so that a machine that is busy with other things fails nothing: who waits for what comes does not wait so long.
  timeout: 200_000,
  expect: { timeout: 60_000 },
  // One demo is shared, and two cores run it and the browser.
  workers: 1,
  retries: 0,
  reporter: [["list"]],
  use: {
    viewport: { width: 1440, height: 1000 },
    launchOptions: {
      executablePath: process.env.HOLDFAST_CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    },
    trace: "retain-on-failure",
  },
});
