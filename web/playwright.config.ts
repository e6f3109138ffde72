import { existsSync } from 'node:fs';
import { defineConfig } from '@playwright/test';

// The browser is the operating system's: nothing is downloaded.
const candidates = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium-headless-shell',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].filter((path): path is string => path !== undefined);
const executablePath = candidates.find((path) => existsSync(path));
if (!executablePath) {
  console.error('No Chromium found: install the chromium package, or name one in CHROMIUM_PATH.');
  process.exit(1);
}

const results = process.env.RESULTS;

export default defineConfig({
  testDir: 'tests/e2e',
  outputDir: 'test-results',
  fullyParallel: true,
  workers: 2,
  forbidOnly: Boolean(process.env.CI),
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: results ? [['list'], ['junit', { outputFile: `${results}/e2e.xml` }]] : 'list',
  use: {
    viewport: { width: 1280, height: 860 },
    screenshot: 'only-on-failure',
    // A trace keeps the page at every change: half of what a test takes. `--trace retain-on-failure` where one is wanted.
    trace: 'off',
    launchOptions: {
      executablePath,
      args: ['--no-sandbox', '--disable-background-networking', '--disable-gpu'],
    },
  },
});
