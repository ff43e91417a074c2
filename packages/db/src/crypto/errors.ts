/** `ENCRYPTION_KEYS` cannot be used; lists every problem, names key ids and never a key. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError';
  readonly code = 'invalid-keyring';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`ENCRYPTION_KEYS cannot be used: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/** A tenant's data key is wrapped by a master key that this process does not have. */
export class UnknownMasterKeyError extends Error {
  override readonly name = 'UnknownMasterKeyError';
  readonly code = 'unknown-master-key';
  readonly masterKeyId: string;
  constructor(masterKeyId: string, dataKeyId: string) {
    super(
      `Data key '${dataKeyId}' is wrapped by master key '${masterKeyId}', which ENCRYPTION_KEYS does not hold: add it behind the active one.`,
    );
    this.masterKeyId = masterKeyId;
  }
}

/** A tenant's data key does not open with the master key of its id: the key is another one of the same id, or the row was changed. */
export class WrappedKeyError extends Error {
  override readonly name = 'WrappedKeyError';
  readonly code = 'wrapped-key';
  constructor(masterKeyId: string, dataKeyId: string) {
    super(
      `Data key '${dataKeyId}' does not open with master key '${masterKeyId}': ENCRYPTION_KEYS holds another key under that id, or its row was changed.`,
    );
  }
}

/** An envelope that cannot be read. Names where it stands and its key; never what is in it. */
export class DecryptionError extends Error {
  override readonly name = 'DecryptionError';
  readonly code = 'decryption-failed';
  readonly place: string;
  readonly row: string;
  /** Null: the text is no envelope. */
  readonly keyId: string | null;
  constructor(where: { place: string; row: string; keyId: string | null }, why: string, options?: ErrorOptions) {
    const key = where.keyId === null ? '' : ` (data key '${where.keyId}')`;
    super(`Field ${where.place} of row '${where.row}'${key} cannot be decrypted: ${why}.`, options);
    this.place = where.place;
    this.row = where.row;
    this.keyId = where.keyId;
  }
}
