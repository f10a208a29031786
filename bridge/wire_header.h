/* The header of an RF message of docs/wire.md, written with msgpack's smallest forms.
 *
 * Plain C99 without MATLAB or ZeroMQ, so that any program can send RF with it: fill a RtHeader, call
 * rt_write_header, send "rf", the bytes and the samples as the three parts of one ZeroMQ message.
 */
#ifndef RTELASTO_WIRE_HEADER_H
#define RTELASTO_WIRE_HEADER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RT_MAX_HEADER 16384
#define RT_MAX_NAME 64
#define RT_MAX_LINES 4096
#define RT_MAX_SAMPLES 65536
#define RT_MAX_ACQUISITIONS 1024

enum rt_kind { RT_RF_LINES, RT_IQ, RT_CHANNEL };

/* Everything that an RF header says. The lists are for channel data, one value an acquisition. */
typedef struct {
    const char *stream;
    uint64_t seq, frame_id;
    int64_t acquired_ns;
    const char *clock;
    enum rt_kind kind;
    const char *dtype;
    int n_axes;
    uint64_t shape[3]; /* slowest axis first: the reverse of MATLAB's size() */
    double sampling_freq_hz, center_freq_hz, line_pitch_m, start_depth_m, sound_speed_m_s;
    /* iq */
    double demodulation_freq_hz;
    const char *carrier;
    /* channel */
    uint64_t n_elements;
    const char *sampling, *transmit;
    const double *aims, *origin_times_s, *first_elements;
} RtHeader;

typedef struct {
    unsigned char *bytes;
    size_t length; /* beyond RT_MAX_HEADER: nothing more was written */
} RtPacker;

static void rt_put(RtPacker *p, const void *bytes, size_t n)
{
    if (p->length + n <= RT_MAX_HEADER)
        memcpy(p->bytes + p->length, bytes, n);
    p->length += n;
}

/* A byte, and a number of `size` bytes, most significant first. */
static void rt_put_tagged(RtPacker *p, unsigned char tag, uint64_t value, int size)
{
    unsigned char out[9];
    int i;
    out[0] = tag;
    for (i = 0; i < size; ++i)
        out[1 + i] = (unsigned char)(value >> (8 * (size - 1 - i)));
    rt_put(p, out, 1 + (size_t)size);
}

static void rt_put_uint(RtPacker *p, uint64_t v)
{
    if (v < 0x80)
        rt_put_tagged(p, (unsigned char)v, 0, 0);
    else if (v <= 0xff)
        rt_put_tagged(p, 0xcc, v, 1);
    else if (v <= 0xffff)
        rt_put_tagged(p, 0xcd, v, 2);
    else if (v <= 0xffffffffu)
        rt_put_tagged(p, 0xce, v, 4);
    else
        rt_put_tagged(p, 0xcf, v, 8);
}

static void rt_put_int(RtPacker *p, int64_t v)
{
    if (v >= 0)
        rt_put_uint(p, (uint64_t)v);
    else if (v >= -32)
        rt_put_tagged(p, (unsigned char)(0xe0 | (v + 32)), 0, 0);
    else if (v >= -128)
        rt_put_tagged(p, 0xd0, (uint64_t)v, 1);
    else if (v >= -32768)
        rt_put_tagged(p, 0xd1, (uint64_t)v, 2);
    else if (v >= -2147483647 - 1)
        rt_put_tagged(p, 0xd2, (uint64_t)v, 4);
    else
        rt_put_tagged(p, 0xd3, (uint64_t)v, 8);
}

static void rt_put_real(RtPacker *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    rt_put_tagged(p, 0xcb, bits, 8);
}

static void rt_put_text(RtPacker *p, const char *text)
{
    size_t n = strlen(text);
    if (n < 32)
        rt_put_tagged(p, (unsigned char)(0xa0 | n), 0, 0);
    else
        rt_put_tagged(p, 0xd9, n, 1); /* names are at most 255 bytes long here */
    rt_put(p, text, n);
}

static void rt_put_map(RtPacker *p, unsigned n)
{
    if (n < 16)
        rt_put_tagged(p, (unsigned char)(0x80 | n), 0, 0);
    else
        rt_put_tagged(p, 0xde, n, 2);
}

static void rt_put_list(RtPacker *p, uint64_t n)
{
    if (n < 16)
        rt_put_tagged(p, (unsigned char)(0x90 | n), 0, 0);
    else
        rt_put_tagged(p, 0xdc, n, 2);
}

static void rt_put_reals(RtPacker *p, const char *key, const double *values, uint64_t n)
{
    uint64_t i;
    rt_put_text(p, key);
    rt_put_list(p, n);
    for (i = 0; i < n; ++i)
        rt_put_real(p, values[i]);
}

static void rt_put_named(RtPacker *p, const char *key, const char *text)
{
    rt_put_text(p, key);
    rt_put_text(p, text);
}

static void rt_put_quantity(RtPacker *p, const char *key, double value)
{
    rt_put_text(p, key);
    rt_put_real(p, value);
}

static void rt_put_channel(RtPacker *p, const RtHeader *h)
{
    uint64_t i, n = h->shape[0];
    rt_put_text(p, "channel");
    rt_put_map(p, 6);
    rt_put_text(p, "n_elements");
    rt_put_uint(p, h->n_elements);
    rt_put_named(p, "sampling", h->sampling);
    rt_put_named(p, "transmit", h->transmit);
    rt_put_reals(p, strcmp(h->transmit, "plane") == 0 ? "angles_rad" : "lines_m", h->aims, n);
    rt_put_reals(p, "origin_times_s", h->origin_times_s, n);
    rt_put_text(p, "first_elements");
    rt_put_list(p, n);
    for (i = 0; i < n; ++i)
        rt_put_uint(p, (uint64_t)h->first_elements[i]);
}

/* Write the header to `bytes`, room for RT_MAX_HEADER; its length, or 0 where it would be longer. */
static size_t rt_write_header(const RtHeader *h, unsigned char *bytes)
{
    static const char *const kinds[] = {"rf_lines", "iq", "channel"};
    RtPacker packer = {0}, *p = &packer;
    int i;
    packer.bytes = bytes;
    rt_put_map(p, h->kind == RT_RF_LINES ? 15 : 16);
    rt_put_named(p, "schema", "rtelasto/1");
    rt_put_named(p, "type", "rf");
    rt_put_named(p, "stream", h->stream);
    rt_put_text(p, "seq");
    rt_put_uint(p, h->seq);
    rt_put_text(p, "frame_id");
    rt_put_uint(p, h->frame_id);
    rt_put_text(p, "acquired_ns");
    rt_put_int(p, h->acquired_ns);
    rt_put_named(p, "clock", h->clock);
    rt_put_named(p, "kind", kinds[h->kind]);
    rt_put_named(p, "dtype", h->dtype);
    rt_put_text(p, "shape");
    rt_put_list(p, (uint64_t)h->n_axes);
    for (i = 0; i < h->n_axes; ++i)
        rt_put_uint(p, h->shape[i]);
    rt_put_quantity(p, "sampling_freq_hz", h->sampling_freq_hz);
    rt_put_quantity(p, "center_freq_hz", h->center_freq_hz);
    rt_put_quantity(p, "line_pitch_m", h->line_pitch_m);
    rt_put_quantity(p, "start_depth_m", h->start_depth_m);
    rt_put_quantity(p, "sound_speed_m_s", h->sound_speed_m_s);
    if (h->kind == RT_IQ) {
        rt_put_text(p, "iq");
        rt_put_map(p, 2);
        rt_put_quantity(p, "demodulation_freq_hz", h->demodulation_freq_hz);
        rt_put_named(p, "carrier", h->carrier);
    } else if (h->kind == RT_CHANNEL) {
        rt_put_channel(p, h);
    }
    return packer.length <= RT_MAX_HEADER ? packer.length : 0;
}

#endif
