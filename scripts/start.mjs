// npm start: set-up, then everything on this machine. In this same process, so that signals have one receiver.
import { setUp } from './setup.mjs';

await setUp();
await import('../apps/cli/dist/start.js');
