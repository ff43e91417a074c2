import { NightshiftError, PermanentError } from '../errors.ts';

export class UnknownTemplateError extends NightshiftError {
  readonly suggestion: string | null;
  constructor(template: string, suggestion: string | null) {
    super(
      'unknown-template',
      `There is no template '${template}': list it in the catalogue.${suggestion ? ` Did you mean '${suggestion}'?` : ''}`,
    );
    this.suggestion = suggestion;
  }
}

/** The run would make more messages than its job allows; nothing of the batch is kept, and trying again would not help. */
export class NotificationCapError extends PermanentError {
  constructor(job: string | null, cap: number, made: number) {
    super(
      `A run of '${job}' may make ${cap} notifications and was about to have ${made}: split the work into follow-up runs, or raise maxNotifications.`,
    );
  }
}

/** A message's data has no form as JSON that Postgres takes. */
export class UnstorableDataError extends NightshiftError {
  constructor(template: string, problem: string) {
    super('unstorable-data', `Data for template '${template}' cannot be stored: ${problem}`);
  }
}

export class UnknownNotificationError extends NightshiftError {
  constructor(id: string) {
    super('unknown-notification', `There is no notification '${id}'.`);
  }
}

/** Only what has ended undelivered, or nobody knows how, can be sent again. */
export class NotificationStateError extends NightshiftError {
  constructor(id: string, state: string) {
    super('notification-state', `Notification '${id}' is ${state}: there is nothing to send again.`);
  }
}
