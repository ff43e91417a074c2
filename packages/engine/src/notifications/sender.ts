import type { Pool } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { Logger } from 'pino';
import { raiseAlert } from '../alerts/raise-alert.ts';
import type { Catalogue } from '../catalogue.ts';
import { untilStored } from '../execute/execution.ts';
import { createLoop } from '../loop.ts';
import { scrubbed } from '../store-errors.ts';
import type { Channel, SendOutcome } from './channel.ts';
import { channelAlert } from './channel-alerts.ts';
import { CHANNELS, type ChannelName, DATA_PLACE, TO_PLACE } from './notify.ts';
import {
  type ClaimedNotification,
  claimNotifications,
  dueChannels,
  recordSent,
  recoverLost,
  type Verdict,
  verdictOf,
} from './outbox.ts';
import { render } from './template.ts';

export interface ChannelOptions {
  /** Null: nothing is set for it. */
  readonly channel: Channel | null;
  /** Variables that would set it, for people. */
  readonly variables: string;
  /** Most messages a second, of all workers together. */
  readonly perSecond: number;
}

export interface SenderOptions {
  readonly channels: Readonly<Record<ChannelName, ChannelOptions>>;
  /** Messages in hand at once in this worker, per channel. */
  readonly inHand: number;
  /** What becomes of messages of a channel that is not set: `failed` (production), or `suppressed`. */
  readonly unset: 'failed' | 'suppressed';
  /** Attempts at most, and the wait after the first, ms; each further one waits twice as long, half an hour at most. */
  readonly retry?: { readonly attempts: number; readonly delayMs: number };
}

export interface SenderDeps extends SenderOptions {
  readonly ops: Pool;
  readonly catalogue: Catalogue;
  readonly crypto: FieldCrypto;
  readonly worker: string;
  readonly log: Logger;
}

export interface Sender {
  /** Something may be due. */
  wake(): void;
  /** Takes nothing more; resolves when what is in hand has ended, after `graceMs` at most. */
  stop(graceMs: number): Promise<void>;
}

/** About an hour and a half in all: a server that is down over that is worth a person's look. */
const RETRY = { attempts: 10, delayMs: 15_000 };
const LONGEST_DELAY_MS = 30 * 60_000;
const LOOK_EVERY_MS = 1_000;
/** Tries to write down what became of a message, before it is left `unknown`. */
const RECORD_TRIES = 30;

/** Ms before the next attempt, or null when this one was the last. */
export function nextAttemptMs(
  tries: number,
  retry: { attempts: number; delayMs: number },
  askedMs: number | null,
): number | null {
  if (tries >= retry.attempts) return null;
  return Math.max(Math.min(retry.delayMs * 2 ** (tries - 1), LONGEST_DELAY_MS), askedMs ?? 0);
}

/** Sends what is due: claimed in one transaction, sent outside of any, written down in another. */
export function createSender(deps: SenderDeps): Sender {
  const inHand = new Map<ChannelName, Set<Promise<void>>>(CHANNELS.map((name) => [name, new Set()]));
  let stopping = false;

  async function takeSome(name: ChannelName): Promise<number> {
    const hand = inHand.get(name) ?? new Set();
    const most = deps.inHand - hand.size;
    // A slot that becomes free wakes the loop.
    if (most < 1 || stopping) return LOOK_EVERY_MS;
    const claim = await claimNotifications(deps.ops, {
      worker: deps.worker,
      channel: name,
      most,
      perSecond: deps.channels[name].perSecond,
    });
    for (const row of claim.rows) {
      const sent = sendOne(deps, row)
        .catch((error: Error) =>
          deps.log.error(
            { notification: row.id, err: { message: error.message } },
            'what became of a notification was not stored',
          ),
        )
        .finally(() => {
          hand.delete(sent);
          loop.wake();
        });
      hand.add(sent);
    }
    if (claim.waitMs !== null) return claim.waitMs;
    return claim.seen > 0 || claim.more ? 0 : LOOK_EVERY_MS;
  }

  const loop = createLoop('notifications', deps.log, async () => {
    const lost = await recoverLost(deps.ops);
    if (lost > 0) deps.log.error({ lost }, 'a worker died while sending; nobody knows whether these were delivered');
    const waits = [LOOK_EVERY_MS];
    for (const name of await dueChannels(deps.ops)) waits.push(await takeSome(name));
    return Math.min(...waits);
  });

  return {
    wake: () => loop.wake(),
    async stop(graceMs) {
      stopping = true;
      await loop.stop();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, graceMs);
      });
      await Promise.race([Promise.all([...inHand.values()].flatMap((hand) => [...hand])), late]);
      clearTimeout(timer);
    },
  };
}

async function sendOne(deps: SenderDeps, row: ClaimedNotification): Promise<void> {
  const verdict = await attempt(deps, row);
  const stored = await untilStored(
    () => recordSent(deps.ops, row, verdict),
    (_error, tries) => tries >= RECORD_TRIES,
  );
  const fields = {
    notification: row.id,
    channel: row.channel,
    template: row.template,
    runId: row.runId,
    attempt: row.attempts,
  };
  if (!stored) deps.log.warn(fields, 'a notification was taken by another worker meanwhile');
  else if (verdict.state === 'sent') deps.log.debug(fields, 'notification sent');
  else
    deps.log.warn(
      { ...fields, state: verdict.state, error: verdict.errorClass, outcome: verdict.outcome },
      'notification not sent',
    );
}

async function attempt(deps: SenderDeps, row: ClaimedNotification): Promise<Verdict> {
  const { channel, variables } = deps.channels[row.channel];
  if (channel === null) return unsetVerdict(deps, row, variables);
  const outcome = await send(deps, channel, row);
  if (outcome.kind !== 'again') return verdictOf(outcome, null);
  if (outcome.channelRefused === true) await tellOfRefusal(deps, row, outcome);
  const delayMs = nextAttemptMs(row.tries, deps.retry ?? RETRY, outcome.afterMs ?? null);
  return verdictOf(
    delayMs === null ? { ...outcome, answer: `given up after ${row.tries} attempts: ${outcome.answer}` } : outcome,
    delayMs,
  );
}

async function send(deps: SenderDeps, channel: Channel, row: ClaimedNotification): Promise<SendOutcome> {
  const template = deps.catalogue.templates.get(row.template);
  // A build that does not know it yet, or any more: another may.
  if (template === undefined)
    return {
      kind: 'again',
      errorClass: 'UnknownTemplateError',
      answer: `this worker has no template '${row.template}'`,
    };
  try {
    const { to, data } = await open(deps, row);
    const problem = channel.addressProblem(to);
    if (problem !== null)
      return { kind: 'failed', errorClass: 'InvalidRecipientError', answer: `the recipient: ${problem}` };
    return await channel.send({ id: row.id, to, createdAt: row.createdAt, content: render(template, data) });
  } catch (error) {
    return { kind: 'failed', errorClass: error instanceof Error ? error.name : 'Error', answer: scrubbed(error) };
  }
}

async function open({ crypto }: SenderDeps, row: ClaimedNotification): Promise<{ to: string; data: unknown }> {
  const { tenantId, id } = row;
  const [to = '', data = 'null'] = await crypto.decryptAll([
    { ref: { tenantId, place: TO_PLACE, row: id }, envelope: row.toEnc },
    { ref: { tenantId, place: DATA_PLACE, row: id }, envelope: row.dataEnc },
  ]);
  return { to, data: JSON.parse(data) };
}

async function unsetVerdict(deps: SenderDeps, row: ClaimedNotification, variables: string): Promise<Verdict> {
  const outcome = `${row.channel} is not set up: set ${variables}`;
  if (deps.unset === 'failed') {
    await raiseAlert(deps.ops, {
      key: channelAlert(row.channel, 'not-set-up'),
      severity: 'CRITICAL',
      message: `Notifications cannot be sent: ${outcome}.`,
    });
  }
  return { state: deps.unset, retryMs: null, errorClass: 'ChannelNotConfiguredError', outcome, providerId: null };
}

/** A password that is wrong, a token that is revoked: no message gets through, and each retry would say so again. */
async function tellOfRefusal(
  deps: SenderDeps,
  row: ClaimedNotification,
  outcome: SendOutcome & { errorClass?: string },
): Promise<void> {
  await raiseAlert(deps.ops, {
    key: channelAlert(row.channel, 'refused'),
    severity: 'CRITICAL',
    message: `The ${row.channel} server refuses every notification: ${outcome.errorClass}, ${outcome.answer}`,
  });
}
