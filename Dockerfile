# The server with nothing but what it runs on: no compiler, no development packages, no shell tools of ours; not as root.
#
# Debian slim and not Alpine: the tests run on glibc, and so does the prebuilt SQLite addon that most people have. musl's allocator is
# slower under several threads, which is where our writer and file threads live. The price is some 25 MB.

# -- the packages that the server needs
FROM node:24-slim AS modules
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The lock names better-sqlite3 12, for Node 20. Version 13 brings its addon along, so that nothing is compiled.
RUN npm ci --omit=dev --ignore-scripts \
 && npm install --no-save --omit=dev --ignore-scripts better-sqlite3@13.2.0 \
 && cd node_modules/better-sqlite3 \
 && rm -rf deps src prebuilds/darwin-* prebuilds/win32-* prebuilds/linuxmusl-*

# -- TypeScript to JavaScript
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/bundle.mjs ./scripts/
COPY src ./src
RUN npm run build && chmod 755 dist/cli.js

FROM node:24-slim
ENV NODE_ENV=production \
    MATCHBOX_HOST=0.0.0.0 \
    MATCHBOX_DATA=/data
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=modules /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
RUN ln -s /app/dist/cli.js /usr/local/bin/matchbox \
 && mkdir -m 700 /data \
 && chown node:node /data
USER node
VOLUME /data
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["matchbox", "healthcheck"]
ENTRYPOINT ["matchbox"]
CMD ["serve"]
