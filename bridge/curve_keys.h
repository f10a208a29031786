/* Who may connect: endpoints that only this machine reaches, or CURVE with the keys of a folder.
 *
 * The folder is what `rtelasto keys` makes (docs/security.md): own.key_secret, and clients/NAME.key for
 * each machine that may connect. ZeroMQ asks for each client on inproc://zeromq.zap.01 (ZAP, RFC 27); a
 * thread answers, and reads the folder anew each time, so that sending never waits for it.
 */
#ifndef RTELASTO_CURVE_KEYS_H
#define RTELASTO_CURVE_KEYS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <dirent.h>
#include <unistd.h>
#endif
#include <zmq.h>

#define RT_KEY 41 /* 40 characters of Z85 and a zero */
#define RT_PATH 512
#define RT_ZAP_DOMAIN "rtelasto"
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93 /* many a zmq.h keeps it to itself */
#endif

typedef struct {
    char folder[RT_PATH], public_key[RT_KEY], secret_key[RT_KEY];
    void *requests, *thread;
    volatile int refused; /* written by the thread alone */
} RtKeys;

/* 127.0.0.0/8, ::1, ipc and inproc; names of hosts and interfaces may come to mean anything. */
static int rt_is_local(const char *endpoint)
{
    const char *port;
    if (!strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "inproc://", 9))
        return 1;
    if (!strncmp(endpoint, "tcp://[::1]:", 12)) {
        port = endpoint + 12;
    } else if (!strncmp(endpoint, "tcp://127.", 10)) {
        port = endpoint + 6 + strspn(endpoint + 6, "0123456789.");
        if (*port++ != ':')
            return 0;
    } else {
        return 0;
    }
    return strpbrk(port, ":;/") == NULL;
}

/* Whether group and others have none of these rights on a file of this user's. Windows has no such bits. */
static int rt_is_private(const char *path, int rights)
{
#ifdef _WIN32
    (void)path, (void)rights;
    return 1;
#else
    struct stat found;
    return stat(path, &found) == 0 && found.st_uid == geteuid() && !(found.st_mode & (mode_t)rights);
#endif
}

/* The key called `name` in a certificate as zmq.auth writes it: `    public-key = "40 characters"`. */
static int rt_read_key(const char *path, const char *name, char key[RT_KEY])
{
    char line[256];
    const char *at;
    unsigned char raw[32];
    int found = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (!found && fgets(line, sizeof line, file)) {
        at = line + strspn(line, " \t");
        if (strncmp(at, name, strlen(name)) != 0 || !(at = strchr(at, '"')) || strlen(at) < RT_KEY + 1
            || at[RT_KEY] != '"')
            continue;
        memcpy(key, at + 1, RT_KEY - 1);
        key[RT_KEY - 1] = 0;
        found = zmq_z85_decode(raw, key) != NULL;
    }
    fclose(file);
    return found;
}

/* What is wrong with the folder, or NULL; the own pair goes into `keys`. */
static const char *rt_read_keys(RtKeys *keys)
{
    char own[RT_PATH + 32];
    snprintf(own, sizeof own, "%s/own.key_secret", keys->folder);
    if (!rt_read_key(own, "public-key", keys->public_key)
        || !rt_read_key(own, "secret-key", keys->secret_key))
        return "no pair of keys is in it; make one with: rtelasto keys FOLDER";
    if (!rt_is_private(keys->folder, 077) || !rt_is_private(own, 077))
        return "other users can get at it; chmod go-rwx the folder and own.key_secret, and own them";
    return NULL;
}

static int rt_file_allows(const RtKeys *keys, const char *name, const char *client)
{
    char path[2 * RT_PATH], key[RT_KEY];
    size_t length = strlen(name);
    if (length < 5 || strcmp(name + length - 4, ".key") != 0)
        return 0;
    snprintf(path, sizeof path, "%s/clients/%s", keys->folder, name);
    return rt_is_private(path, 022) && rt_read_key(path, "public-key", key) && !strcmp(key, client);
}

/* The own key, and those in clients/ now. */
static int rt_allows(const RtKeys *keys, const char *client)
{
    int allowed = strcmp(client, keys->public_key) == 0;
    char place[RT_PATH + 32];
#ifdef _WIN32
    WIN32_FIND_DATAA entry;
    HANDLE listing;
    snprintf(place, sizeof place, "%s/clients/*.key", keys->folder);
    listing = FindFirstFileA(place, &entry);
    if (listing == INVALID_HANDLE_VALUE)
        return allowed;
    do
        allowed = allowed || rt_file_allows(keys, entry.cFileName, client);
    while (!allowed && FindNextFileA(listing, &entry));
    FindClose(listing);
#else
    struct dirent *entry;
    DIR *listing;
    snprintf(place, sizeof place, "%s/clients", keys->folder);
    if (!rt_is_private(place, 022) || !(listing = opendir(place)))
        return allowed;
    while (!allowed && (entry = readdir(listing)))
        allowed = rt_file_allows(keys, entry->d_name, client);
    closedir(listing);
#endif
    return allowed;
}

/* Answers until the context is shut down. A request is: version, id, domain, address, identity,
 * mechanism, the client's key in 32 bytes. */
static void rt_answer_requests(void *handle)
{
    RtKeys *keys = handle;
    char part[8][256], client[RT_KEY];
    int size[8], count, allowed, more;
    size_t length = sizeof more;
    for (;;) {
        count = 0;
        do {
            int at = count < 7 ? count : 7; /* parts beyond those of a request are only counted */
            size[at] = zmq_recv(keys->requests, part[at], sizeof part[at], 0);
            if (size[at] < 0)
                break;
            ++count;
            zmq_getsockopt(keys->requests, ZMQ_RCVMORE, &more, &length);
        } while (more);
        if (count == 0) {
            if (zmq_errno() == ETERM)
                break;
            continue; /* a signal */
        }
        allowed = count == 7 && size[1] <= 255 && size[2] == (int)strlen(RT_ZAP_DOMAIN)
                  && !memcmp(part[2], RT_ZAP_DOMAIN, (size_t)size[2]) && size[5] == 5
                  && !memcmp(part[5], "CURVE", 5) && size[6] == 32
                  && zmq_z85_encode(client, (const unsigned char *)part[6], 32)
                  && rt_allows(keys, client);
        keys->refused += !allowed;
        zmq_send(keys->requests, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(keys->requests, part[1], count > 1 && size[1] <= 255 ? (size_t)size[1] : 0,
                 ZMQ_SNDMORE);
        zmq_send(keys->requests, allowed ? "200" : "400", 3, ZMQ_SNDMORE);
        zmq_send(keys->requests, "", 0, ZMQ_SNDMORE);
        zmq_send(keys->requests, allowed ? client : "", allowed ? RT_KEY - 1 : 0, ZMQ_SNDMORE);
        zmq_send(keys->requests, "", 0, 0);
    }
    zmq_close(keys->requests);
}

/* Make `socket` a CURVE server that accepts only the clients that the folder names; 0, or -1 with errno. */
static int rt_guard(RtKeys *keys, void *context, void *socket)
{
    int on = 1;
    /* With a domain ZeroMQ asks about each client; where this is enforced, it refuses every client if no thread
     * answers. Some builds cannot enforce it: the thread keeps its socket as long as there is one to connect
     * to, and a client without an answer is refused too. */
    zmq_setsockopt(socket, ZMQ_ZAP_ENFORCE_DOMAIN, &on, sizeof on);
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) != 0
        || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, RT_KEY) != 0
        || zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, RT_ZAP_DOMAIN, strlen(RT_ZAP_DOMAIN)) != 0)
        return -1;
    keys->requests = zmq_socket(context, ZMQ_REP);
    if (!keys->requests || zmq_bind(keys->requests, "inproc://zeromq.zap.01") != 0)
        return -1;
    keys->thread = zmq_threadstart(rt_answer_requests, keys);
    return keys->thread ? 0 : -1;
}

/* Once the context is shut down: wait for the thread, which has closed its socket. */
static void rt_unguard(RtKeys *keys)
{
    if (keys->thread)
        zmq_threadclose(keys->thread);
    else if (keys->requests)
        zmq_close(keys->requests);
    keys->thread = keys->requests = NULL;
    memset(keys->secret_key, 0, sizeof keys->secret_key);
}

#endif
