import adapter from '@sveltejs/adapter-static';
import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

const gateway = process.env.GATEWAY_URL ?? 'http://127.0.0.1:8000';

export default defineConfig({
  plugins: [
    tailwindcss(),
    // A single-page app: every route is index.html, served by the gateway from its own origin.
    sveltekit({ adapter: adapter({ fallback: 'index.html', precompress: true }) }),
  ],
  // `npm run dev` alone: the page on Vite's port, its calls passed to a running gateway.
  server: { proxy: { '/api': gateway, '/v1': gateway, '/socket.io': { target: gateway, ws: true } } },
  // Vitest: resolve Svelte's browser build, so that runes in *.svelte.ts react outside a component.
  ...(process.env.VITEST ? { resolve: { conditions: ['browser'] } } : {}),
  test: {
    include: ['src/**/*.test.ts', 'tests/unit/**/*.test.ts'],
    coverage: {
      enabled: true,
      reporter: ['text-summary'],
      include: ['src/lib/{api,live,state}/**/*.ts', 'src/lib/ui/format.ts', 'src/routes/**/*.ts'],
      exclude: [
        '**/*.test.ts',
        'src/lib/api/types.ts',
        'src/lib/live/{socket,channels}.ts',
        '**/+*.ts',
        'src/routes/shell/*.ts',
      ],
      // What draws or touches the browser is covered by tests/e2e instead.
      thresholds: { lines: 80, functions: 80, statements: 80, branches: 80 },
    },
  },
});
