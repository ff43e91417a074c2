// npm run -s nightshift -- <command>: the CLI, built first if the sources have changed. stdout is the command's alone.
import { setUp } from './setup.mjs';

await setUp();
await import('../apps/cli/dist/main.js');
