import { userInfo } from 'node:os';
import { createCatalogue } from '@nightshift/engine';
import { createProducer, type Producer } from '@nightshift/engine/accept';
import { jobs } from '@nightshift/jobs';
import { CommanderError } from 'commander';
import { pino } from 'pino';
import { type Cli, EXIT, type ExitCode, type Terminal } from './cli-context.ts';
import { explain } from './explain.ts';
import { type Environment, encryptionKeys } from './home.ts';
import { buildProgram } from './program.ts';
import { findServers } from './servers.ts';

/** Runs one command line (without node and script). Resolves to the exit code; never rejects. */
export async function runCli(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok;
  const cli = createCli(terminal, (code) => {
    exitCode = code;
  });
  const program = buildProgram(cli);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    throw error;
  }
}

function createCli(terminal: Terminal, setExitCode: (code: ExitCode) => void): Cli {
  const tell = (line: string) => void terminal.stderr.write(`${line}\n`);
  const cli: Cli = {
    ...terminal,
    actor: `cli:${userName()}`,
    tell,
    print(options, value, text) {
      terminal.stdout.write(`${options.json ? JSON.stringify(value, null, 2) : text(value)}\n`);
    },
    withProducer: (work, options) => withProducer(terminal.env, work, options),
    run(command, work) {
      return command.option('--json', 'print machine-readable output on stdout').action(async (...args: unknown[]) => {
        // Commander hands over the arguments, the options and the command. An option that a parent command has too
        // (`runs --json`, `runs show --json`) lands with the parent.
        const options = command.optsWithGlobals();
        try {
          setExitCode(await work(...args.slice(0, -2), options));
        } catch (error) {
          const { code, message, usage } = await explain(error, cli);
          if (options.json) terminal.stdout.write(`${JSON.stringify({ error: { code, message } }, null, 2)}\n`);
          tell(message);
          setExitCode(usage ? EXIT.usage : EXIT.failed);
        }
      });
    },
  };
  return cli;
}

async function withProducer<T>(
  env: Environment,
  work: (producer: Producer) => Promise<T>,
  options?: { copies: boolean },
): Promise<T> {
  const servers = findServers(env);
  const producer = createProducer({
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    ...(env.NIGHTSHIFT_NS ? { namespace: env.NIGHTSHIFT_NS } : {}),
    encryptionKeys: encryptionKeys(env),
    catalogue: createCatalogue(jobs),
    log: pino({ level: env.LOG_LEVEL ?? 'error' }, pino.destination(2)),
    poolMax: 4,
    ...options,
  });
  try {
    return await work(producer);
  } finally {
    await producer.close();
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a user id that has no name.
    return String(process.getuid?.() ?? 'unknown');
  }
}
