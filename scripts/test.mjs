// npm test: set-up, then the gate. With arguments, only the tests that they select: npm test -- packages/engine
import { runGate } from './gate.mjs';
import { setUp } from './setup.mjs';

await setUp();
process.exitCode = await runGate(process.argv.slice(2));
