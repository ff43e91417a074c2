/** A running installation with demo data, in development. */
export interface Site {
  readonly apiUrl: string;
  readonly cronSecret: string;
  readonly functionsApiKey: string;
  /** What a process of the installation needs to take part: DATABASE_URL, REDIS_URL, NIGHTSHIFT_NS, ENCRYPTION_KEYS. */
  readonly env: NodeJS.ProcessEnv;
  /** A bearer token with these claims, such as `{ role: 'admin' }`. */
  token(claims: Readonly<Record<string, unknown>>): string;
  /** As the superuser. */
  rows<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** What the workers have logged so far, as JSON lines. */
  workerLog(): string;
  /** What jobs have sent by mail so far, the newest first; none where it goes to another server. */
  mails(): Promise<readonly SentMail[]>;
}

export interface SentMail {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  readonly html: string | null;
}

/** Something that the document shows, done here. */
export interface Step {
  /** What it shows, in its own words. */
  readonly shows: string;
  /** Resolves to what is different here, a sentence each. */
  readonly replay: (site: Site) => Promise<readonly string[]>;
}

/** What one of the five documents shows, in an order in which it can be done. */
export interface Seed {
  readonly system: string;
  readonly steps: readonly Step[];
}

export interface ReplayedStep {
  readonly shows: string;
  readonly differences: readonly string[];
}

/** Does all steps, whatever the earlier ones came to. */
export async function replaySeed(
  seed: Seed,
  site: Site,
  onStep: (step: ReplayedStep) => void = () => undefined,
): Promise<ReplayedStep[]> {
  const replayed: ReplayedStep[] = [];
  for (const { shows, replay } of seed.steps) {
    const differences = await replay(site).catch((error: Error) => [`it threw ${error.name}: ${error.message}`]);
    replayed.push({ shows, differences });
    onStep({ shows, differences });
  }
  return replayed;
}
