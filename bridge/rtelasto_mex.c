/* Sends RF frames from MATLAB or Octave to rtelasto over ZeroMQ (docs/wire.md). Built by build.m.
 *
 *   endpoint = rtelasto_mex('open', endpoint, options)  bind; options: stream, seq, send_hwm, keys
 *   rtelasto_mex('send', samples, meta)                 RF lines, complex IQ or channel data
 *   rtelasto_mex('send', I, meta, Q)                    IQ as two real arrays, as VSX gives it
 *   rtelasto_mex('close')
 *   stats = rtelasto_mex('stats')                       counts and times of the calls
 *
 * rtelasto_mex.m documents meta. No call waits: frames are copied and handed to ZeroMQ's own thread,
 * because MATLAB's timers are not served while VSX runs. Every argument is checked before anything is
 * allocated, since an error leaves a MEX by longjmp.
 */
#include <time.h>
#ifdef _WIN32
#include <windows.h>
#endif
#include <zmq.h>
#include "curve_keys.h"
#include "frame_layout.h"

#define SUBSCRIPTIONS_PER_LOOK 64

static struct {
    void *context, *socket;
    char endpoint[256], stream[RT_MAX_NAME + 1];
    uint64_t seq, next_frame_id;
    int subscriptions;
    double sent, unheard, overflow, failed;
    double bytes, last_s, worst_s;
    RtKeys keys;
} sender;

static int64_t monotonic_ns(void)
{
#ifdef _WIN32
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return now.QuadPart / rate.QuadPart * 1000000000
           + now.QuadPart % rate.QuadPart * 1000000000 / rate.QuadPart;
#else
    struct timespec now;
#ifdef __APPLE__
    clock_gettime(CLOCK_UPTIME_RAW, &now); /* what Python's time.monotonic reads there */
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

static void close_sender(void)
{
    if (sender.socket)
        zmq_close(sender.socket);
    if (sender.context)
        zmq_ctx_shutdown(sender.context); /* ends the thread that answers for clients */
    rt_unguard(&sender.keys);
    if (sender.context)
        zmq_ctx_term(sender.context);
    sender.socket = sender.context = NULL;
    sender.subscriptions = 0;
}

/* ---- the socket ---- */

/* XPUB tells of each first subscription to a topic (1, topic) and of the end of the last (0, topic). */
static void read_subscriptions(void)
{
    unsigned char note[256];
    int i, n;
    for (i = 0; i < SUBSCRIPTIONS_PER_LOOK; ++i) {
        n = zmq_recv(sender.socket, note, sizeof note, ZMQ_DONTWAIT);
        if (n < 0)
            return;
        if (n >= 1 && n <= 3 && memcmp("rf", note + 1, (size_t)n - 1) == 0)
            sender.subscriptions += note[0] == 1 ? 1 : note[0] == 0 ? -1 : 0;
    }
}

static void drop_on_full(int on)
{
    int no_drop = !on;
    zmq_setsockopt(sender.socket, ZMQ_XPUB_NODROP, &no_drop, sizeof no_drop);
}

/* Hand over a frame. A subscriber whose queue is full loses it, the others get it, and it is counted:
 * asked not to drop, ZeroMQ says that a queue is full; asked to drop, it then sends to the rest. */
static int hand_over(const unsigned char *header, size_t length, zmq_msg_t *body)
{
    int rc;
    drop_on_full(0);
    rc = zmq_send(sender.socket, "rf", 2, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    drop_on_full(1);
    if (rc < 0 && zmq_errno() == EAGAIN) {
        sender.overflow += 1;
        rc = zmq_send(sender.socket, "rf", 2, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    }
    if (rc < 0)
        return rc;
    if (zmq_send(sender.socket, header, length, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return -1;
    return zmq_msg_send(body, sender.socket, ZMQ_DONTWAIT);
}

static void set_option(int option, int value)
{
    zmq_setsockopt(sender.socket, option, &value, sizeof value);
}

/* ---- calls ---- */

static void call_open(int nlhs, mxArray *plhs[], int nrhs, const mxArray *prhs[])
{
    char endpoint[256] = "tcp://127.0.0.1:5555", stream[RT_MAX_NAME + 1];
    const mxArray *options = nrhs > 2 ? prhs[2] : NULL;
    const mxArray *folder;
    const char *name, *wrong;
    static RtKeys keys; /* not on the stack: errors leave by longjmp */
    size_t length = sizeof sender.endpoint;
    int64_t seq, hwm;
    int error;
    if (nrhs > 1 && (!mxIsChar(prhs[1]) || mxGetString(prhs[1], endpoint, sizeof endpoint) != 0))
        mexErrMsgIdAndTxt("rtelasto:open:endpoint", "endpoint must be text of at most 255 letters");
    if (options && (!mxIsStruct(options) || mxGetNumberOfElements(options) != 1))
        mexErrMsgIdAndTxt("rtelasto:open:options", "options must be one struct");
    name = text(options, "stream", stream, NULL);
    seq = whole(options, "seq", 0, 0);
    hwm = whole(options, "send_hwm", 0, 16);
    if (hwm < 1 || hwm > 1000)
        bad_meta("send_hwm", "1 to 1000 frames");
    folder = field(options, "keys");
    memset(&keys, 0, sizeof keys);
    if (folder && (!mxIsChar(folder) || mxGetString(folder, keys.folder, sizeof keys.folder) != 0))
        mexErrMsgIdAndTxt("rtelasto:open:keys", "options.keys must be the path of a folder");
    if (folder && (wrong = rt_read_keys(&keys)) != NULL)
        mexErrMsgIdAndTxt("rtelasto:open:keys", "keys '%s': %s", keys.folder, wrong);
    if (!rt_is_local(endpoint) && !(folder && strncmp(endpoint, "tcp://", 6) == 0))
        mexErrMsgIdAndTxt("rtelasto:open:keys",
                          "'%s' without keys would be open to every machine that reaches it: make keys "
                          "with `rtelasto keys FOLDER` and give options.keys, or bind tcp://127.0.0.1",
                          endpoint);
    close_sender(); /* opened twice: anew, as a script that runs again wants it */
    memset(&sender, 0, sizeof sender);
    sender.seq = (uint64_t)seq;
    sender.keys = keys;
    if (name)
        strcpy(sender.stream, name);
    else /* a new id for each run: time, process-wide counter and address make it one */
        snprintf(sender.stream, sizeof sender.stream, "%016llx%016llx",
                 (unsigned long long)monotonic_ns(),
                 (unsigned long long)((uintptr_t)&options ^ (uint64_t)time(NULL) << 24));
    sender.context = zmq_ctx_new();
    sender.socket = sender.context ? zmq_socket(sender.context, ZMQ_XPUB) : NULL;
    if (!sender.socket) {
        close_sender();
        mexErrMsgIdAndTxt("rtelasto:open:socket", "no ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
    }
    set_option(ZMQ_LINGER, 1000); /* close waits so long, at most, for what is still to be sent */
    set_option(ZMQ_SNDHWM, (int)hwm);
    /* As in rtelasto/transport/sockets.py, where it says why ZeroMQ's own heartbeats are not used. */
    set_option(ZMQ_TCP_KEEPALIVE, 1);
    set_option(ZMQ_TCP_KEEPALIVE_IDLE, 1);
    set_option(ZMQ_TCP_KEEPALIVE_INTVL, 1);
    set_option(ZMQ_TCP_KEEPALIVE_CNT, 1);
    set_option(ZMQ_TCP_MAXRT, 30000);
    set_option(ZMQ_HANDSHAKE_IVL, 3000);
    set_option(ZMQ_XPUB_VERBOSER, 1); /* reports every subscriber, not only the first to a topic */
    if (folder && strncmp(endpoint, "tcp://", 6) == 0
        && rt_guard(&sender.keys, sender.context, sender.socket) != 0) {
        error = zmq_errno();
        close_sender();
        mexErrMsgIdAndTxt("rtelasto:open:keys", "this libzmq cannot use keys: %s",
                          zmq_strerror(error));
    }
    if (zmq_bind(sender.socket, endpoint) != 0) {
        error = zmq_errno();
        close_sender();
        mexErrMsgIdAndTxt("rtelasto:open:bind", "cannot bind '%s': %s", endpoint,
                          zmq_strerror(error));
    }
    zmq_getsockopt(sender.socket, ZMQ_LAST_ENDPOINT, sender.endpoint, &length);
    if (nlhs > 0)
        plhs[0] = mxCreateString(sender.endpoint);
}

static void call_send(int nrhs, const mxArray *prhs[])
{
    char clock[RT_MAX_NAME + 1], carrier[RT_MAX_NAME + 1], sampling[RT_MAX_NAME + 1],
        transmit[RT_MAX_NAME + 1];
    static unsigned char header[RT_MAX_HEADER];
    const mxArray *samples = nrhs > 1 ? prhs[1] : NULL, *meta = nrhs > 2 ? prhs[2] : NULL;
    RtHeader h = {0};
    Layout layout = {0};
    zmq_msg_t body;
    size_t length, n_axes;
    const mwSize *size;
    int64_t begin = monotonic_ns();
    if (!sender.socket)
        mexErrMsgIdAndTxt("rtelasto:send:closed", "no sender is open: call rtelasto_mex('open')");
    if (nrhs < 3 || nrhs > 4 || !mxIsStruct(meta) || mxGetNumberOfElements(meta) != 1)
        mexErrMsgIdAndTxt("rtelasto:send:arguments",
                          "call rtelasto_mex('send', samples, meta) with one struct meta");
    h.kind = kind_of(meta);
    layout.samples = samples;
    layout.quadrature = nrhs > 3 ? prhs[3] : NULL;
    check_samples(samples, layout.quadrature, h.kind);
    size = mxGetDimensions(samples);
    n_axes = mxGetNumberOfDimensions(samples);
    layout.n_rows = size[0];
    h.n_axes = 2;
    h.shape[0] = size[1];
    h.shape[1] = size[0];
    if (h.kind == RT_CHANNEL)
        channel_layout(meta, size, n_axes, &h, &layout);
    check_shape(&h);
    h.stream = sender.stream;
    h.seq = sender.seq;
    h.frame_id = (uint64_t)whole(meta, "frame_id", 0, (int64_t)sender.next_frame_id);
    h.acquired_ns = whole(meta, "acquired_ns", INT64_MIN, begin);
    h.clock = text(meta, "clock", clock, field(meta, "acquired_ns") ? "unknown" : "monotonic");
    h.sampling_freq_hz = quantity(meta, "sampling_freq_hz", 1e5, 1e9);
    h.center_freq_hz = quantity(meta, "center_freq_hz", 1e5, 1e8);
    h.line_pitch_m = quantity(meta, "line_pitch_m", 1e-6, 1e-1);
    h.start_depth_m = field(meta, "start_depth_m") ? quantity(meta, "start_depth_m", -0.5, 0.5) : 0.0;
    h.sound_speed_m_s = quantity(meta, "sound_speed_m_s", 300.0, 5000.0);
    if (h.kind == RT_RF_LINES && h.sampling_freq_hz < 2.0 * h.center_freq_hz)
        bad_meta("sampling_freq_hz", "at least twice meta.center_freq_hz for RF lines");
    if (h.kind == RT_IQ) {
        h.demodulation_freq_hz = quantity(meta, "demodulation_freq_hz", 1e5, 1e8);
        h.carrier = one_of(text(meta, "carrier", carrier, "removed"), "carrier", "removed", "kept");
    } else if (h.kind == RT_CHANNEL) {
        read_channel(meta, &h, sampling, transmit);
    }
    h.dtype = h.kind == RT_IQ ? "<c8" : mxIsInt16(samples) ? "<i2" : "<f4";
    layout.item_bytes = h.kind == RT_IQ ? 8 : mxGetElementSize(samples);
    layout.n_bytes = layout.item_bytes * (size_t)(h.shape[0] * h.shape[1]);
    if (h.n_axes == 3)
        layout.n_bytes *= (size_t)h.shape[2];
    length = rt_write_header(&h, header);
    if (!length)
        mexErrMsgIdAndTxt("rtelasto:send:size", "so many acquisitions do not fit the header");
    if (zmq_msg_init_size(&body, layout.n_bytes) != 0) {
        sender.failed += 1;
        mexErrMsgIdAndTxt("rtelasto:send:memory", "no memory for %lu bytes",
                          (unsigned long)layout.n_bytes);
    }
    copy_samples(&layout, &h, zmq_msg_data(&body));
    read_subscriptions();
    if (hand_over(header, length, &body) < 0) {
        sender.failed += 1;
        zmq_msg_close(&body);
    } else {
        sender.sent += 1;
        sender.unheard += sender.subscriptions <= 0;
        sender.bytes += (double)layout.n_bytes;
        sender.seq += 1;
    }
    sender.next_frame_id = h.frame_id + 1;
    sender.last_s = 1e-9 * (double)(monotonic_ns() - begin);
    if (sender.last_s > sender.worst_s)
        sender.worst_s = sender.last_s;
}

static void call_stats(mxArray *plhs[])
{
    static const char *names[] = {"open",   "endpoint", "stream", "subscribers", "sent",   "unheard",
                                  "overflow", "failed", "bytes",  "last_s",      "worst_s", "refused"};
    mxArray *stats = mxCreateStructMatrix(1, 1, 12, names);
    if (sender.socket)
        read_subscriptions();
    mxSetField(stats, 0, "open", mxCreateLogicalScalar(sender.socket != NULL));
    mxSetField(stats, 0, "endpoint", mxCreateString(sender.endpoint));
    mxSetField(stats, 0, "stream", mxCreateString(sender.stream));
    mxSetField(stats, 0, "subscribers", mxCreateDoubleScalar(sender.subscriptions));
    mxSetField(stats, 0, "sent", mxCreateDoubleScalar(sender.sent));
    mxSetField(stats, 0, "unheard", mxCreateDoubleScalar(sender.unheard));
    mxSetField(stats, 0, "overflow", mxCreateDoubleScalar(sender.overflow));
    mxSetField(stats, 0, "failed", mxCreateDoubleScalar(sender.failed));
    mxSetField(stats, 0, "bytes", mxCreateDoubleScalar(sender.bytes));
    mxSetField(stats, 0, "last_s", mxCreateDoubleScalar(sender.last_s));
    mxSetField(stats, 0, "worst_s", mxCreateDoubleScalar(sender.worst_s));
    mxSetField(stats, 0, "refused", mxCreateDoubleScalar(sender.keys.refused));
    plhs[0] = stats;
}

void mexFunction(int nlhs, mxArray *plhs[], int nrhs, const mxArray *prhs[])
{
    char call[16] = "";
    mexAtExit(close_sender);
    if (nrhs < 1 || !mxIsChar(prhs[0]) || mxGetString(prhs[0], call, sizeof call) != 0)
        mexErrMsgIdAndTxt("rtelasto:call", "name a call: 'open', 'send', 'close' or 'stats'");
    if (strcmp(call, "send") == 0)
        call_send(nrhs, prhs);
    else if (strcmp(call, "open") == 0)
        call_open(nlhs, plhs, nrhs, prhs);
    else if (strcmp(call, "close") == 0)
        close_sender();
    else if (strcmp(call, "stats") == 0)
        call_stats(plhs);
    else
        mexErrMsgIdAndTxt("rtelasto:call", "no call '%s': 'open', 'send', 'close' or 'stats'", call);
}
