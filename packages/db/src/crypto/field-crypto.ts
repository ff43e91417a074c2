import type { DataKey } from './data-key.ts';
import { DecryptionError, UnknownMasterKeyError, WrappedKeyError } from './errors.ts';
import type { Keyring } from './keyring.ts';
import { boundTo, seal, unseal } from './seal.ts';
import { createTenantKeys, type KeyStore } from './tenant-keys.ts';

/** Where an encrypted value stands. An envelope opens at its own place alone. */
export interface FieldRef {
  readonly tenantId: string;
  /** `<schema>.<table>.<column>`, such as `zakat.snapshots.nisab_enc`, or `run.input`. */
  readonly place: string;
  /** Id of the row. */
  readonly row: string;
}

/** Encrypts and decrypts single fields. Envelopes are text: `ns1.<data key id>.<iv>.<ciphertext and tag>`. */
export interface FieldCrypto {
  /** The envelope. Makes the tenant's data key when it has none yet. */
  encrypt(ref: FieldRef, plain: string): Promise<string>;
  /** Errors: `DecryptionError` (names place, row and key id; never the value). */
  decrypt(ref: FieldRef, envelope: string): Promise<string>;
  /** Many at once, one key lookup, in order. */
  encryptAll(items: readonly { readonly ref: FieldRef; readonly plain: string }[]): Promise<string[]>;
  /** Many at once, one key lookup, in order. Errors: those of `decrypt`, for the first that has one. */
  decryptAll(items: readonly { readonly ref: FieldRef; readonly envelope: string }[]): Promise<string[]>;
  /**
   * Looks up the keys of these tenants at once, and makes those that are missing: who goes from tenant to tenant afterwards asks for none.
   * Errors: `UnknownMasterKeyError`, `WrappedKeyError`.
   */
  prepare(tenantIds: readonly string[]): Promise<void>;
}

const VERSION = 'ns1';
const ENVELOPE = /^ns1\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+)$/;

/** `pool` acts as ns_ops or as an administrator: tenants' keys are the platform's. One for each process: it remembers keys. */
export function createFieldCrypto(deps: { keyring: Keyring; pool: KeyStore }): FieldCrypto {
  const keys = createTenantKeys(deps);

  async function encryptAll(items: readonly { readonly ref: FieldRef; readonly plain: string }[]): Promise<string[]> {
    const active = await keys.active(items.map(({ ref }) => ref.tenantId.toLowerCase()));
    return items.map(({ ref, plain }) => {
      const key = active.get(ref.tenantId.toLowerCase());
      if (key === undefined) throw new Error(`tenant '${ref.tenantId}' has lost its data key while it was made`);
      return `${VERSION}.${key.id}.${seal(key.key, plain, aadOf(ref, key.id))}`;
    });
  }

  async function decryptAll(
    items: readonly { readonly ref: FieldRef; readonly envelope: string }[],
  ): Promise<string[]> {
    const parsed = items.map(({ ref, envelope }) => ({ ref, ...parse(ref, envelope) }));
    const found = await keysOf(parsed[0], () => keys.byId(parsed.map((one) => one.keyId)));
    return parsed.map(({ ref, keyId, sealed }) => opened(ref, found.get(keyId), keyId, sealed));
  }

  return {
    encryptAll,
    decryptAll,
    prepare: async (tenantIds) => void (await keys.active(tenantIds.map((id) => id.toLowerCase()))),
    encrypt: async (ref, plain) => (await encryptAll([{ ref, plain }]))[0] as string,
    decrypt: async (ref, envelope) => (await decryptAll([{ ref, envelope }]))[0] as string,
  };
}

/** AAD of a field: tenant, place, row, key. */
function aadOf(ref: FieldRef, keyId: string): Buffer {
  return boundTo(VERSION, ref.tenantId.toLowerCase(), ref.place, ref.row, keyId);
}

function parse(ref: FieldRef, envelope: string): { keyId: string; sealed: string } {
  const match = ENVELOPE.exec(envelope);
  if (match?.[1] === undefined || match[2] === undefined)
    throw new DecryptionError(
      { ...ref, keyId: null },
      `its text is no envelope (expected ${VERSION}.<key>.<iv>.<text>)`,
    );
  return { keyId: match[1], sealed: match[2] };
}

async function keysOf(
  first: { ref: FieldRef; keyId: string } | undefined,
  load: () => Promise<ReadonlyMap<string, DataKey>>,
): Promise<ReadonlyMap<string, DataKey>> {
  if (first === undefined) return new Map();
  try {
    return await load();
  } catch (error) {
    if (error instanceof UnknownMasterKeyError || error instanceof WrappedKeyError)
      throw new DecryptionError({ ...first.ref, keyId: first.keyId }, error.message.replace(/\.$/, ''), {
        cause: error,
      });
    throw error;
  }
}

function opened(ref: FieldRef, key: DataKey | undefined, keyId: string, sealed: string): string {
  const where = { ...ref, keyId };
  if (key === undefined)
    throw new DecryptionError(
      where,
      'there is no such data key: its tenant was forgotten, or the row is of another database',
    );
  if (key.tenantId !== ref.tenantId.toLowerCase())
    throw new DecryptionError(where, 'the data key belongs to another tenant: the value was moved');
  const plain = unseal(key.key, sealed, aadOf(ref, keyId));
  if (plain === null) throw new DecryptionError(where, 'it was changed, or moved from another row or column');
  return plain.toString('utf8');
}
