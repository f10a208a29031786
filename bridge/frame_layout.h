/* What is sent of an array, and in which order: shapes, checks, and the one copy that is made. */
#ifndef RTELASTO_FRAME_LAYOUT_H
#define RTELASTO_FRAME_LAYOUT_H

#include "meta_fields.h"

/* Where the samples of a message lie in the array: acquisition a, channel k starts at row
 * first_rows[a] of column columns[k], or columns[k + a n_channels] where each acquisition has its own
 * (counted from 1). Without them the array is sent as it is. */
typedef struct {
    const mxArray *samples, *quadrature;
    size_t n_rows, item_bytes, n_bytes;
    const double *first_rows, *columns;
    size_t columns_step; /* 0: the same in all acquisitions */
} Layout;

static enum rt_kind kind_of(const mxArray *meta)
{
    char room[RT_MAX_NAME + 1];
    const char *name = text(meta, "kind", room, "rf_lines");
    if (strcmp(name, "rf_lines") == 0)
        return RT_RF_LINES;
    if (strcmp(name, "iq") == 0)
        return RT_IQ;
    if (strcmp(name, "channel") != 0)
        bad_meta("kind", "'rf_lines', 'iq' or 'channel'");
    return RT_CHANNEL;
}

static void check_samples(const mxArray *samples, const mxArray *quadrature, enum rt_kind kind)
{
    int single_or_double = mxIsSingle(samples) || mxIsDouble(samples);
    if (mxIsSparse(samples) || (kind == RT_IQ ? !single_or_double
                                              : !mxIsInt16(samples) && !mxIsSingle(samples)))
        mexErrMsgIdAndTxt("rtelasto:send:class", "samples must be %s, got %s%s",
                          kind == RT_IQ ? "single or double" : "int16 or single",
                          mxIsSparse(samples) ? "sparse " : "", mxGetClassName(samples));
    if (mxIsEmpty(samples))
        mexErrMsgIdAndTxt("rtelasto:send:empty", "samples is empty");
    if (kind != RT_IQ && (mxIsComplex(samples) || quadrature))
        mexErrMsgIdAndTxt("rtelasto:send:complex",
                          "samples are complex: set meta.kind to 'iq', or send real RF");
    if (kind == RT_IQ && !quadrature && !mxIsComplex(samples))
        mexErrMsgIdAndTxt("rtelasto:send:complex", "IQ samples must be complex, or I and Q given");
    if (quadrature
        && (mxIsComplex(samples) || mxIsComplex(quadrature) || mxIsSparse(quadrature)
            || mxGetClassID(samples) != mxGetClassID(quadrature)
            || mxGetNumberOfElements(samples) != mxGetNumberOfElements(quadrature)))
        mexErrMsgIdAndTxt("rtelasto:send:class", "Q must be real, of the class and size of I");
    if (mxGetNumberOfDimensions(samples) > (kind == RT_CHANNEL ? 3 : 2))
        mexErrMsgIdAndTxt("rtelasto:send:rank", "samples has %d dimensions, at most %d may be sent",
                          (int)mxGetNumberOfDimensions(samples), kind == RT_CHANNEL ? 3 : 2);
}

/* Shape and layout of channel data: [samples, channels, acquisitions], or acquisitions stacked in
 * rows as a RcvBuffer holds them, cut by meta.first_rows, meta.n_samples and meta.columns. */
static void channel_layout(const mxArray *meta, const mwSize *size, size_t n_axes, RtHeader *h,
                           Layout *layout)
{
    size_t n_acquisitions = n_axes > 2 ? (size_t)size[2] : 1, n_samples = size[0];
    const mxArray *rows = field(meta, "first_rows"), *columns = field(meta, "columns");
    if (rows) {
        if (n_axes > 2)
            bad_meta("first_rows", "left out for samples of three dimensions");
        n_acquisitions = mxGetNumberOfElements(rows);
        n_samples = (size_t)quantity(meta, "n_samples", 1.0, (double)size[0]);
        layout->first_rows = reals(meta, "first_rows", n_acquisitions, 1.0,
                                   (double)(size[0] - n_samples + 1), 1, 1);
    }
    h->n_axes = 3;
    h->shape[0] = n_acquisitions;
    h->shape[1] = (uint64_t)size[1];
    h->shape[2] = n_samples;
    if (columns) {
        size_t n = mxGetNumberOfElements(columns), own = mxGetN(columns);
        h->shape[1] = n;
        if (n_acquisitions > 1 && own == n_acquisitions && mxGetM(columns) > 1)
            layout->columns_step = h->shape[1] = n / own;
        layout->columns = reals(meta, "columns", n, 1.0, (double)size[1], 1, 1);
    }
}

static void read_channel(const mxArray *meta, RtHeader *h, char *sampling, char *transmit)
{
    size_t n = (size_t)h->shape[0];
    int plane;
    h->n_elements = (uint64_t)whole(meta, "n_elements", 1, (int64_t)h->shape[1]);
    if (h->n_elements < h->shape[1] || h->n_elements > RT_MAX_LINES)
        bad_meta("n_elements", "at least the number of channels, at most 4096");
    h->sampling = one_of(text(meta, "sampling", sampling, "uniform"), "sampling", "uniform",
                         "quadrature");
    h->transmit = one_of(text(meta, "transmit", transmit, "plane"), "transmit", "plane", "focused");
    plane = strcmp(h->transmit, "plane") == 0;
    h->aims = plane ? reals(meta, "angles_rad", n, -1.0471975512, 1.0471975512, 0, 1)
                    : reals(meta, "lines_m", n, -1.0, 1.0, 0, 1);
    h->origin_times_s = reals(meta, "origin_times_s", n, -1e-2, 1e-2, 0, 1);
    h->first_elements = reals(meta, "first_elements", n, 0.0,
                              (double)(h->n_elements - h->shape[1]), 1, 1);
}

static void check_shape(const RtHeader *h)
{
    const uint64_t *size = h->shape + (h->n_axes - 2);
    if (size[0] > RT_MAX_LINES || size[1] > RT_MAX_SAMPLES
        || (h->n_axes == 3 && h->shape[0] > RT_MAX_ACQUISITIONS))
        mexErrMsgIdAndTxt("rtelasto:send:size",
                          "at most 65536 samples, 4096 lines or channels and 1024 acquisitions");
}

/* The bytes of the frame in wire order; interleaves I and Q, picks rows and columns. */
static void copy_samples(const Layout *from, const RtHeader *h, unsigned char *to)
{
    const unsigned char *bytes = mxGetData(from->samples);
    size_t i, a, k, n = mxGetNumberOfElements(from->samples);
    if (h->kind == RT_IQ) {
        const void *re = mxGetData(from->samples);
        const void *im = from->quadrature ? mxGetData(from->quadrature)
                                          : mxGetImagData(from->samples);
        float *out = (float *)to;
        if (mxIsSingle(from->samples))
            for (i = 0; i < n; ++i, out += 2)
                out[0] = ((const float *)re)[i], out[1] = ((const float *)im)[i];
        else
            for (i = 0; i < n; ++i, out += 2)
                out[0] = (float)((const double *)re)[i], out[1] = (float)((const double *)im)[i];
    } else if (!from->first_rows && !from->columns) {
        memcpy(to, bytes, from->n_bytes);
    } else {
        size_t n_channels = (size_t)h->shape[1], length = (size_t)h->shape[2] * from->item_bytes;
        size_t n_columns = mxGetDimensions(from->samples)[1];
        for (a = 0; a < h->shape[0]; ++a)
            for (k = 0; k < n_channels; ++k, to += length) {
                size_t at = k + a * from->columns_step;
                size_t column = from->columns ? (size_t)from->columns[at] - 1 : k;
                size_t row = from->first_rows ? (size_t)from->first_rows[a] - 1 : 0;
                if (!from->first_rows) /* a third dimension instead */
                    column += a * n_columns;
                memcpy(to, bytes + (column * from->n_rows + row) * from->item_bytes, length);
            }
    }
}

#endif
