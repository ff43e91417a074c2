import {
  forgetTenantKey,
  type Keyring,
  listTenantKeys,
  parseKeyring,
  retireTenantKeys,
  rewrapTenantKeys,
  type TenantKeyView,
} from '@nightshift/engine/crypto';
import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { encryptionKeys } from '../home.ts';
import { time } from '../run-text.ts';
import { findTenant } from '../tenants.ts';
import { table } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Flags {
  tenant?: string;
  data?: boolean;
  yes?: boolean;
  json?: boolean;
}

/** `keys list`, `keys rotate` and `keys forget`. */
export function keysCommand(program: Command, cli: Cli): void {
  const keys = program.command('keys').description('keys that personal fields are encrypted with');
  const list = keys.command('list').description("tenants' data keys, and the master key that wraps each");
  cli.run(list.option('--tenant <tenant>', 'slug, id or system/slug'), (flags: Flags) =>
    cli.withProducer(async (producer) => {
      const tenant = flags.tenant === undefined ? null : await findTenant(producer, flags.tenant);
      const found = await listTenantKeys(producer.pools.ops, tenant?.id ?? null);
      cli.print(flags, found, () => keysTable(found, keyring(cli)));
      return EXIT.ok;
    }),
  );
  const rotate = keys
    .command('rotate')
    .description(
      'wrap every data key under the active master key, so that older ones can be taken out of ENCRYPTION_KEYS',
    )
    .option('--data', 'also give each tenant a new data key for what is written from now on; old fields stay readable')
    .option('--tenant <tenant>', 'with --data: of this tenant alone');
  cli.run(rotate, (flags: Flags) => rotateKeys(cli, flags));
  const forget = keys
    .command('forget')
    .description('delete the data keys of a tenant that leaves: none of its personal fields can ever be read again')
    .argument('<tenant>', 'slug, id or system/slug')
    .option('--yes', 'needed: nothing brings the fields back');
  cli.run(forget, (name: string, flags: Flags) =>
    cli.withProducer(async (producer) => {
      const tenant = await findTenant(producer, name);
      if (flags.yes !== true)
        throw new UsageError(
          `This makes every personal field of ${tenant.system}/${tenant.slug} unreadable for ever; say --yes if you mean it.`,
        );
      const forgotten = await forgetTenantKey(producer.pools.ops, tenant.id, cli.actor);
      cli.print(flags, { forgotten }, () => `${count(forgotten)} of ${tenant.system}/${tenant.slug} deleted.`);
      return EXIT.ok;
    }),
  );
}

function rotateKeys(cli: Cli, flags: Flags) {
  if (flags.tenant !== undefined && flags.data !== true)
    throw new UsageError('--tenant goes with --data: master keys are those of all tenants.');
  const text = encryptionKeys(cli.env);
  if (text === undefined) throw new UsageError('Set ENCRYPTION_KEYS: its first key is the one to wrap data keys with.');
  return cli.withProducer(async (producer) => {
    const { ops } = producer.pools;
    const tenant = flags.tenant === undefined ? null : await findTenant(producer, flags.tenant);
    const ring = parseKeyring(text);
    const rewrapped = await rewrapTenantKeys({ ops, keyring: ring }, cli.actor);
    const retired = flags.data === true ? await retireTenantKeys(ops, tenant?.id ?? null, cli.actor) : 0;
    cli.print(flags, { masterKey: ring.active.id, rewrapped, retired }, () =>
      [
        `${count(rewrapped)} wrapped anew under master key '${ring.active.id}'.`,
        ...(flags.data === true ? [`${count(retired)} retired; the next write of each tenant makes a new one.`] : []),
      ].join('\n'),
    );
    return EXIT.ok;
  });
}

function count(keys: number): string {
  return keys === 1 ? '1 data key' : `${keys} data keys`;
}

function keyring(cli: Cli): Keyring | null {
  const text = encryptionKeys(cli.env);
  return text === undefined ? null : parseKeyring(text);
}

function keysTable(keys: readonly TenantKeyView[], ring: Keyring | null): string {
  if (keys.length === 0) return 'No tenant has encrypted anything yet.';
  return table(
    ['key', 'tenant', 'state', 'master key', 'made', 'wrapped anew'],
    keys.map((key) => [
      key.id,
      key.tenant === null ? key.tenantId : `${key.system}/${key.tenant}`,
      key.state,
      ring !== null && ring.find(key.masterKeyId) === undefined ? `${key.masterKeyId} (missing here)` : key.masterKeyId,
      time(key.createdAt),
      key.rewrappedAt === null ? '' : time(key.rewrappedAt),
    ]),
  );
}
