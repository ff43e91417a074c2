import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const DIRECTORY = fileURLToPath(new URL('../../peers', import.meta.url));
const MANIFEST = join(DIRECTORY, 'package.json');
const STAMP = join(DIRECTORY, 'node_modules', '.installed');
/** graphile-worker asks for 22.18, pg-boss for 22.12. */
const PEERS_NEED = [22, 18] as const;

/** A package of `bench/peers`, which the workspace does not know. `Module` is what the caller uses of it. */
export async function importPeer<Module>(name: string): Promise<Module> {
  const path = createRequire(MANIFEST).resolve(name);
  return (await import(pathToFileURL(path).href)) as Module;
}

/** Version that `bench/peers` asks for. */
export function peerVersion(name: string): string {
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8')) as { dependencies: Record<string, string> };
  return manifest.dependencies[name] ?? 'unknown';
}

/** The Node that the peers run on: this one if it is new enough, else the one that comes as an npm package. */
export function peerNode(): string {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const newEnough = major > PEERS_NEED[0] || (major === PEERS_NEED[0] && minor >= PEERS_NEED[1]);
  return newEnough ? process.execPath : join(DIRECTORY, 'node_modules', 'node', 'bin', 'node');
}

/**
 * Installs the peers into `bench/peers/node_modules` unless they are there: some 210 MB (a Node of its own is most of it), which is why
 * they are not in the workspace. Errors: npm's.
 */
export async function installPeers(say: (line: string) => void): Promise<void> {
  const manifest = readFileSync(MANIFEST, 'utf8');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === manifest) return;
  say('installing the peers into bench/peers (once)');
  const args = ['install', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = spawn('npm', args, { cwd: DIRECTORY, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(npm, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`npm install in bench/peers ended with code ${code}`);
  if (!existsSync(peerNode())) {
    throw new Error(
      `the peers need Node ${PEERS_NEED.join('.')}, this is ${process.versions.node}, and the npm package 'node' brought none: ` +
        `allow its install script or run the benchmark on a newer Node`,
    );
  }
  writeFileSync(STAMP, manifest);
}
