import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPool, type Pool } from '../connect.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import {
  createFieldCrypto,
  DecryptionError,
  type FieldRef,
  forgetTenantKey,
  listTenantKeys,
  parseKeyring,
  retireTenantKeys,
  rewrapTenantKeys,
  UnknownMasterKeyError,
} from './index.ts';

const master = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const OLD = master('old');
const NEW = master('new');

let db: TestDatabase;
let ops: Pool;
let ref: FieldRef;
beforeAll(async () => {
  db = await cloneTestDatabase();
  ops = createPool({ url: db.adminUrl, role: 'ns_ops', max: 8, name: 'test-ops' });
});
beforeEach(() => {
  ref = { tenantId: randomUUID(), place: 'zakat.snapshots.nisab_enc', row: randomUUID() };
});
afterAll(async () => {
  await ops.end();
  await db.drop();
});

/** As a process that has just started: it remembers no key. */
const crypto = (keys = OLD) => createFieldCrypto({ keyring: parseKeyring(keys), pool: ops });

async function refusal(work: Promise<unknown>): Promise<DecryptionError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DecryptionError);
  expect((error as Error).message).not.toContain('4711');
  return error as DecryptionError;
}

async function keysOf(tenantId: string): Promise<{ id: string; state: string; masterKeyId: string }[]> {
  return listTenantKeys(ops, tenantId);
}

describe('fields', () => {
  test('come back in another process; what is stored does not show them', async () => {
    const envelope = await crypto().encrypt(ref, '4711.25');
    expect(envelope).toMatch(/^ns1\.[\w-]{16}\.[\w-]{16}\.[\w-]+$/);
    expect(Buffer.from(envelope.split('.').at(-1) ?? '', 'base64url').toString('latin1')).not.toContain('4711');
    expect(await crypto().decrypt(ref, envelope)).toBe('4711.25');
    expect(await crypto().decrypt({ ...ref, tenantId: ref.tenantId.toUpperCase() }, envelope)).toBe('4711.25');
  });

  test('of tenants whose keys were prepared go in and out, tenant by tenant, without another lookup', async () => {
    const tenants = Array.from({ length: 5 }, () => randomUUID());
    const [first = ''] = tenants;
    const before = await crypto().encrypt({ ...ref, tenantId: first }, 'old');
    const asked: unknown[] = [];
    const query = (...args: unknown[]) => {
      asked.push(args);
      return (ops.query as (...given: unknown[]) => unknown)(...args);
    };
    const prepared = createFieldCrypto({ keyring: parseKeyring(OLD), pool: { query } as unknown as Pool });
    await prepared.prepare([first]);
    expect(asked).toHaveLength(1);
    expect(await prepared.decrypt({ ...ref, tenantId: first }, before)).toBe('old');
    await prepared.prepare(tenants.map((id) => id.toUpperCase()));
    // Four were looked for, made, and looked for again.
    expect(asked).toHaveLength(4);
    for (const tenantId of tenants) {
      const envelope = await prepared.encrypt({ ...ref, tenantId }, tenantId);
      expect(await prepared.decrypt({ ...ref, tenantId }, envelope)).toBe(tenantId);
    }
    expect(asked).toHaveLength(4);
  });

  test('go in and out by the thousand, of several tenants, with one key lookup each way', async () => {
    let queries = 0;
    const pool = {
      query: (...args: unknown[]) => {
        queries += 1;
        return (ops.query as (...given: unknown[]) => Promise<unknown>)(...args);
      },
    } as unknown as Pool;
    const tenants = [randomUUID(), randomUUID(), randomUUID()];
    const items = Array.from({ length: 3_000 }, (_, i) => ({
      ref: { tenantId: tenants[i % 3] ?? '', place: 'a.b.c', row: String(i) },
      plain: `value ${i}`,
    }));
    const keyring = parseKeyring(OLD);
    const envelopes = await createFieldCrypto({ keyring, pool }).encryptAll(items);
    // Looked for, made, looked for again.
    expect(queries).toBe(3);
    const back = await createFieldCrypto({ keyring, pool }).decryptAll(
      items.map((item, i) => ({ ref: item.ref, envelope: envelopes[i] ?? '' })),
    );
    expect(queries).toBe(4);
    expect(back).toEqual(items.map((item) => item.plain));
    expect(await createFieldCrypto({ keyring, pool }).encryptAll([])).toEqual([]);
  });

  test.each<[string, (of: FieldRef) => FieldRef, RegExp]>([
    ['row', (of) => ({ ...of, row: randomUUID() }), /changed, or moved from another row or column/],
    ['column', (of) => ({ ...of, place: 'zakat.snapshots.due_enc' }), /changed, or moved/],
    ['tenant', (of) => ({ ...of, tenantId: randomUUID() }), /belongs to another tenant/],
  ])('moved to another %s do not open', async (_what, move, why) => {
    const envelope = await crypto().encrypt(ref, '4711');
    const moved = move(ref);
    const error = await refusal(crypto().decrypt(moved, envelope));
    expect(error).toMatchObject({ place: moved.place, row: moved.row, keyId: envelope.split('.')[1] });
    expect(error.message).toMatch(why);
  });

  test('under the key of another tenant do not open, not even for that tenant', async () => {
    const other = { ...ref, tenantId: randomUUID() };
    const [mine, theirs] = await crypto().encryptAll([
      { ref, plain: '4711' },
      { ref: other, plain: '1' },
    ]);
    const swapped = (mine ?? '').replace(/^ns1\.[^.]+/, (theirs ?? '').split('.').slice(0, 2).join('.'));
    await refusal(crypto().decrypt(other, swapped));
  });

  test('tampered with do not open; what is no envelope is called so', async () => {
    const envelope = await crypto().encrypt(ref, '4711');
    const last = envelope.at(-5) === 'A' ? 'B' : 'A';
    await refusal(crypto().decrypt(ref, `${envelope.slice(0, -5)}${last}${envelope.slice(-4)}`));
    for (const text of ['', '4711', 'ns2.a.b.c', envelope.slice(0, 40), `${envelope} `])
      expect((await refusal(crypto().decrypt(ref, text))).keyId, text).toSatisfy(
        (id) => id === null || text.includes(id),
      );
  });
});

describe('keys of tenants', () => {
  test('eight processes that come first at once make one', async () => {
    const envelopes = await Promise.all(
      Array.from({ length: 8 }, (_, i) => crypto().encrypt({ ...ref, row: String(i) }, '4711')),
    );
    expect(new Set(envelopes.map((envelope) => envelope.split('.')[1])).size).toBe(1);
    expect(await keysOf(ref.tenantId)).toMatchObject([{ state: 'active', masterKeyId: 'old' }]);
    for (const [i, envelope] of envelopes.entries())
      expect(await crypto().decrypt({ ...ref, row: String(i) }, envelope)).toBe('4711');
    const audit = await db.admin.query(`SELECT action FROM ops.audit_log WHERE tenant_id = $1`, [ref.tenantId]);
    expect(audit.rows).toEqual([{ action: 'tenant-key.made' }]);
  });

  test('many at once of one process are one query, and errors are not remembered', async () => {
    let down = true;
    let queries = 0;
    const pool = {
      query: (...args: unknown[]) => {
        queries += 1;
        if (down) return Promise.reject(new Error('ECONNREFUSED'));
        return (ops.query as (...given: unknown[]) => Promise<unknown>)(...args);
      },
    } as unknown as Pool;
    const one = createFieldCrypto({ keyring: parseKeyring(OLD), pool });
    const hundred = () => Promise.all(Array.from({ length: 100 }, () => one.encrypt(ref, '4711')));
    await expect(hundred()).rejects.toThrow('ECONNREFUSED');
    expect(queries).toBe(1);
    down = false;
    expect(await hundred()).toHaveLength(100);
    expect(queries).toBe(4);
  });

  test('do not open under another master key of the same id, nor under none', async () => {
    const envelope = await crypto().encrypt(ref, '4711');
    expect((await refusal(crypto(master('old')).decrypt(ref, envelope))).message).toMatch(
      /holds another key under that id/,
    );
    expect((await refusal(crypto(NEW).decrypt(ref, envelope))).message).toMatch(
      /master key 'old', which ENCRYPTION_KEYS does not hold/,
    );
    await expect(crypto(NEW).encrypt(ref, '1')).rejects.toThrow(UnknownMasterKeyError);
  });

  test('of one tenant do not open in the row of another', async () => {
    const other = { ...ref, tenantId: randomUUID() };
    const envelope = await crypto().encrypt(ref, '4711');
    await crypto().encrypt(other, '1');
    await db.admin.query(
      `UPDATE ops.tenant_keys SET wrapped = (SELECT wrapped FROM ops.tenant_keys WHERE tenant_id = $1) WHERE tenant_id = $2`,
      [ref.tenantId, other.tenantId],
    );
    await expect(crypto().encrypt(other, '1')).rejects.toThrow(/does not open with master key/);
    expect(await crypto().decrypt(ref, envelope)).toBe('4711');
    await forgetTenantKey(ops, other.tenantId, 'test');
  });

  test('are wrapped anew while others read and write; then the old master key can go', async () => {
    const tenants = Array.from({ length: 20 }, () => ({ ...ref, tenantId: randomUUID() }));
    const written = await crypto().encryptAll(tenants.map((of) => ({ ref: of, plain: '4711' })));
    const items = tenants.map((of, i) => ({ ref: of, envelope: written[i] ?? '' }));
    let rotating = true;
    const reading = (async () => {
      let rounds = 0;
      for (; rotating; rounds++) {
        const fresh = crypto(`${NEW},${OLD}`);
        expect(new Set(await fresh.decryptAll(items))).toEqual(new Set(['4711']));
        const envelope = await fresh.encrypt({ ...ref, tenantId: tenants[rounds % 20]?.tenantId ?? '' }, 'during');
        expect(
          await crypto(`${OLD},${NEW}`).decrypt({ ...ref, tenantId: tenants[rounds % 20]?.tenantId ?? '' }, envelope),
        ).toBe('during');
      }
      return rounds;
    })();
    const keyring = parseKeyring(`${NEW},${OLD}`);
    expect(await rewrapTenantKeys({ ops, keyring }, 'ada')).toBeGreaterThanOrEqual(20);
    expect(await rewrapTenantKeys({ ops, keyring }, 'ada')).toBe(0);
    rotating = false;
    expect(await reading).toBeGreaterThanOrEqual(1);
    expect(await crypto(NEW).decryptAll(items)).toEqual(items.map(() => '4711'));
    const audit = await db.admin.query(
      `SELECT actor, details FROM ops.audit_log WHERE action = 'tenant-keys.rewrapped' ORDER BY seq`,
    );
    expect(audit.rows).toMatchObject([
      { actor: 'ada', details: { masterKey: 'new' } },
      { actor: 'ada', details: { masterKey: 'new', keys: 0 } },
    ]);
  });

  test('are replaced for new writes, and the retired ones go on reading', async () => {
    const before = await crypto().encrypt(ref, 'before');
    expect(await retireTenantKeys(ops, ref.tenantId, 'ada')).toBe(1);
    expect(await retireTenantKeys(ops, ref.tenantId, 'ada')).toBe(0);
    const after = await crypto().encrypt(ref, 'after');
    expect(after.split('.')[1]).not.toBe(before.split('.')[1]);
    expect(await crypto().decryptAll([before, after].map((envelope) => ({ ref, envelope })))).toEqual([
      'before',
      'after',
    ]);
    expect((await keysOf(ref.tenantId)).map((key) => key.state)).toEqual(['retired', 'active']);
  });

  test('that are forgotten take the fields of their tenant with them, and of no other', async () => {
    const other = { ...ref, tenantId: randomUUID() };
    const [mine = '', theirs = ''] = await crypto().encryptAll([ref, other].map((of) => ({ ref: of, plain: '4711' })));
    await retireTenantKeys(ops, ref.tenantId, 'ada');
    await crypto().encrypt(ref, 'newer');
    expect(await forgetTenantKey(ops, ref.tenantId, 'ada')).toBe(2);
    expect(await forgetTenantKey(ops, ref.tenantId, 'ada')).toBe(0);
    expect((await refusal(crypto().decrypt(ref, mine))).message).toMatch(/its tenant was forgotten/);
    expect(await crypto().decrypt(other, theirs)).toBe('4711');
    const audit = await db.admin.query(
      `SELECT actor, jsonb_array_length(details -> 'keys') AS keys FROM ops.audit_log WHERE action = 'tenant-key.forgotten' AND tenant_id = $1 ORDER BY seq`,
      [ref.tenantId],
    );
    expect(audit.rows).toEqual([
      { actor: 'ada', keys: 2 },
      { actor: 'ada', keys: 0 },
    ]);
  });
});
