function meta = rtelasto_channel_meta(Trans, Resource, Receive, TX, TW, Event, bufnum)
%RTELASTO_CHANNEL_META  How a frame of a receive buffer describes itself to rtelasto.
%   meta = rtelasto_channel_meta(Trans, Resource, Receive, TX, TW, Event, bufnum) reads the structures
%   as VSX holds them once it runs (Receive with startSample, endSample and decimSampleRate filled in)
%   and returns what rtelasto_mex('send', RcvData, meta) needs. Nothing in it is assumed of the probe
%   or the script:
%     sampling frequency  Receive.decimSampleRate / quadDecim (absent on NXT: 1)
%     centre frequency    Receive.demodFrequency, else Trans.frequency
%     rows                Receive.startSample, endSample of each acquisition
%     columns             Trans.HVMux.ApertureES of Receive.aperture, else Trans.ConnectorES
%     transmits           TX.Delay of the event's tx; plane waves only
%     time of a sample    from startDepth, less TW.peak and twice the lens correction
if nargin < 7
    bufnum = 1;
end
c = sound_speed(Resource);
frequency_hz = 1e6 * Trans.frequency;
[rcv, tx] = acquisitions(Receive, Event, bufnum);
first = Receive(rcv(1));
n = numel(rcv);
for name = {'startSample', 'endSample', 'decimSampleRate'}
    if ~isfield(Receive, name{1}) || isempty(first.(name{1}))
        error('rtelasto:meta:receive', ...
            'Receive.%s is not there: call this once VSX has filled Receive in', name{1});
    end
end
lengths = [Receive(rcv).endSample] - [Receive(rcv).startSample] + 1;
if any(lengths ~= lengths(1)) || any([Receive(rcv).startDepth] ~= first.startDepth)
    error('rtelasto:meta:receive', 'all acquisitions of a frame must cover the same depths');
end

meta.kind = 'channel';
meta.sampling_freq_hz = 1e6 * first.decimSampleRate / value_of(first, 'quadDecim', 1);
meta.center_freq_hz = 1e6 * value_of(first, 'demodFrequency', Trans.frequency);
meta.line_pitch_m = pitch_m(Trans, c);
meta.sound_speed_m_s = c;
meta.n_elements = Trans.numelements;
meta.sampling = 'uniform';
if any(strcmp(first.sampleMode, {'BS100BW', 'BS50BW'}))
    meta.sampling = 'quadrature';
end
% Depths are in wavelengths of Trans.frequency. Time 0 is when an element with delay 0 begins to fire;
% the echo's peak comes TW.peak later, and both ways lead through the lens.
lens = value_of(Trans, 'lensCorrection', 0);
if strcmp(value_of(Trans, 'units', 'wavelengths'), 'mm')
    lens = lens * 1e-3 * frequency_hz / c;
end
start_s = (2 * first.startDepth - value_of(TW(1), 'peak', 0) - 2 * lens) / frequency_hz;
meta.start_depth_m = 0.5 * c * start_s;

meta.first_rows = double([Receive(rcv).startSample]);
meta.n_samples = double(lengths(1));
meta.first_elements = zeros(1, n);
meta.angles_rad = zeros(1, n);
meta.origin_times_s = zeros(1, n);
for a = 1:n
    [elements, channels] = active(Trans, Receive(rcv(a)));
    meta.first_elements(a) = elements(1) - 1;
    meta.columns(:, a) = channels;
    [meta.angles_rad(a), meta.origin_times_s(a)] = ...
        plane_wave(Trans, TX(tx(a)), meta.line_pitch_m, c, frequency_hz);
end
end

function [rcv, tx] = acquisitions(Receive, Event, bufnum)
% The acquisitions that make up frame 1 of the buffer, in the order of their rows.
rcv = [];
tx = [];
for k = 1:numel(Event)
    r = Event(k).rcv;
    if isempty(r) || r == 0 || any(r == rcv)
        continue
    end
    if Receive(r).bufnum == bufnum && Receive(r).framenum == 1
        if Receive(r).mode ~= 0
            continue % accumulates onto an acquisition that is in the list already
        end
        if Event(k).tx == 0
            error('rtelasto:meta:event', 'event %d receives without a transmit', k);
        end
        rcv(end + 1) = r; %#ok<AGROW>
        tx(end + 1) = Event(k).tx; %#ok<AGROW>
    end
end
if isempty(rcv)
    error('rtelasto:meta:event', 'no event receives into frame 1 of buffer %d', bufnum);
end
end

function [elements, channels] = active(Trans, receive)
% Which elements an acquisition received with, and which columns of the buffer they are in.
if isfield(Trans, 'HVMux') && isfield(receive, 'aperture') && ~isempty(receive.aperture)
    name = 'ApertureES'; % releases before 4.0 call it Aperture
    if ~isfield(Trans.HVMux, name)
        name = 'Aperture';
    end
    signals = Trans.HVMux.(name)(:, receive.aperture);
else
    signals = value_of(Trans, 'ConnectorES', (1:Trans.numelements)');
    signals = signals(:);
end
elements = find(signals);
if any(diff(elements) ~= 1)
    error('rtelasto:meta:aperture', 'the elements of an aperture must lie side by side');
end
channels = double(signals(elements));
end

function [angle_rad, origin_s] = plane_wave(Trans, transmit, pitch, c, frequency_hz)
% Angle, and when the wave passes the middle of the array, from the delays themselves.
delays_s = double(transmit.Delay(:)') / frequency_hz;
first = 1;
if numel(delays_s) < Trans.numelements
    if isfield(transmit, 'aperture') && ~isempty(transmit.aperture)
        first = transmit.aperture;
    end
elseif isfield(Trans, 'HVMux') && isfield(transmit, 'aperture') && ~isempty(transmit.aperture)
    fired = find(Trans.HVMux.ApertureES(:, transmit.aperture));
    delays_s = delays_s(fired);
    first = fired(1);
end
x = pitch * ((first - 1 + (0:numel(delays_s) - 1)) - (Trans.numelements - 1) / 2);
line = polyfit(x, delays_s, 1);
miss_s = max(abs(delays_s - polyval(line, x)));
if miss_s > 20e-9 || abs(line(1) * c) >= 1
    error('rtelasto:meta:transmit', ...
        'TX.Delay is not that of a plane wave: it misses a straight line by %.0f ns', 1e9 * miss_s);
end
angle_rad = asin(line(1) * c);
origin_s = line(2);
end

function pitch = pitch_m(Trans, c)
if isfield(Trans, 'spacingMm')
    pitch = 1e-3 * Trans.spacingMm;
else
    pitch = Trans.spacing * c / (1e6 * Trans.frequency);
end
end

function c = sound_speed(Resource)
c = value_of(Resource.Parameters, 'speedOfSound', 1540);
end

function value = value_of(structure, name, fallback)
value = fallback;
if isfield(structure, name) && ~isempty(structure.(name))
    value = structure.(name);
    if isnumeric(value)
        value = double(value);
    end
end
end
