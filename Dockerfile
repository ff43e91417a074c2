# One image for the API, the workers and the command line; what a container does is its command.
# Node 26 is the LTS line since October 2026.
ARG NODE_IMAGE=node:26-trixie-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
ENV CI=true TURBO_TELEMETRY_DISABLED=1
RUN npm install --global pnpm@12
# Dependencies change seldom: fetched from the lockfile alone, this layer survives every change of source.
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
RUN pnpm fetch
COPY . .
RUN pnpm install --offline --frozen-lockfile && node_modules/.bin/tsc -b apps/api apps/worker apps/cli

FROM build AS runtime-files
# Optional dependencies are the embedded servers of npm start: here Postgres and Redis are containers of their own.
RUN rm -rf node_modules apps/*/node_modules packages/*/node_modules \
  && pnpm install --offline --frozen-lockfile --prod --no-optional \
    --filter "@nightshift/api..." --filter "@nightshift/worker..." --filter "@nightshift/cli..." \
  && rm -rf apps/*/src packages/*/src bench docs test scripts

FROM ${NODE_IMAGE}
WORKDIR /app
ENV NODE_ENV=production
# Owned by root and read by `node`: a process that is broken into cannot rewrite its own code.
COPY --from=runtime-files /app ./
# A new volume takes its owner from here.
RUN mkdir /backups && chown node:node /backups
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["node", "apps/cli/dist/health.js", "api"]
CMD ["node", "apps/api/dist/main.js"]
