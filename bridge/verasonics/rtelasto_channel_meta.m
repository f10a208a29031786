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
%     transmits           TX.Delay and Apod of the event's tx: plane waves (TX.focus 0), or beams focused
%                         straight down from TX.Origin, one line each; no diverging waves or wide beams
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
meta.origin_times_s = zeros(1, n);
focused = arrayfun(@(transmit) value_of(transmit, 'focus', 0) ~= 0, TX(tx));
if any(focused ~= focused(1))
    error('rtelasto:meta:transmit', ...
        'the transmits of a frame must be all plane waves or all focused beams');
end
aims = zeros(1, n);
for a = 1:n
    [elements, channels] = active(Trans, Receive(rcv(a)));
    meta.first_elements(a) = elements(1) - 1;
    meta.columns(:, a) = channels;
    [x, delays_s] = firing(Trans, TX(tx(a)), meta.line_pitch_m, frequency_hz);
    if focused(1)
        [aims(a), meta.origin_times_s(a)] = ...
            focused_beam(TX(tx(a)), x, delays_s, c, frequency_hz, first.endDepth);
    else
        [aims(a), meta.origin_times_s(a)] = plane_wave(x, delays_s, c);
    end
end
if ~focused(1)
    meta.angles_rad = aims;
    return
end
meta.transmit = 'focused';
meta.lines_m = aims;
steps = diff(aims);
if n < 2 || any(steps <= 0) || max(steps) - min(steps) > 1e-3 * max(steps)
    error('rtelasto:meta:transmit', ...
        'TX.Origin must rise in even steps from transmit to transmit: one line each, two or more');
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

function [x, delays_s] = firing(Trans, transmit, pitch, frequency_hz)
% Where the elements lie that fire, and when they do.
delays_s = double(transmit.Delay(:)') / frequency_hz;
fires = reshape(value_of(transmit, 'Apod', ones(size(delays_s))) ~= 0, 1, []);
first = 1;
if numel(delays_s) < Trans.numelements
    first = value_of(transmit, 'aperture', 1);
elseif isfield(Trans, 'HVMux') && isfield(transmit, 'aperture') && ~isempty(transmit.aperture)
    connected = find(Trans.HVMux.ApertureES(:, transmit.aperture));
    first = connected(1);
    delays_s = delays_s(connected);
    if numel(fires) == Trans.numelements
        fires = fires(connected);
    end
end
if numel(fires) ~= numel(delays_s) || sum(fires) < 2
    error('rtelasto:meta:transmit', ...
        'TX.Apod must have a value for each of the %d in TX.Delay, of which two or more fire', ...
        numel(delays_s));
end
x = pitch * ((first - 1 + (0:numel(delays_s) - 1)) - (Trans.numelements - 1) / 2);
x = x(fires);
delays_s = delays_s(fires);
end

function [angle_rad, origin_s] = plane_wave(x, delays_s, c)
% Angle, and when the wave passes the middle of the array, from the delays themselves.
line = polyfit(x, delays_s, 1);
check_delays(delays_s - polyval(line, x), 'a plane wave');
if abs(line(1) * c) >= 1
    error('rtelasto:meta:transmit', 'TX.Delay is steeper than any plane wave');
end
angle_rad = asin(line(1) * c);
origin_s = line(2);
end

function [line_m, origin_s] = focused_beam(transmit, x, delays_s, c, frequency_hz, deepest)
% The line, and when the middle of the aperture fires, of a beam straight down; depths in wavelengths.
if transmit.focus < 0
    error('rtelasto:meta:transmit', ['TX.focus %g makes a diverging wave, which cannot be sent: ' ...
        'only plane waves (0) and beams focused on their own line'], transmit.focus);
end
if transmit.focus > deepest
    error('rtelasto:meta:transmit', ['TX.focus %g lies deeper than Receive.endDepth %g: a wide ' ...
        'beam, which cannot be sent: only plane waves (0) and beams focused within the image'], ...
        transmit.focus, deepest);
end
line_m = double(transmit.Origin(1)) * c / frequency_hz;
if line_m < min(x) || line_m > max(x)
    error('rtelasto:meta:transmit', 'TX.Origin lies beside the elements that fire');
end
arc_s = -hypot(x - line_m, transmit.focus * c / frequency_hz) / c;
check_delays(delays_s - arc_s - mean(delays_s - arc_s), 'a beam straight down to TX.focus');
origin_s = interp1(x, delays_s, line_m);
end

function check_delays(miss_s, what)
if max(abs(miss_s)) > 20e-9
    error('rtelasto:meta:transmit', 'TX.Delay is not that of %s: it misses that by %.0f ns', what, ...
        1e9 * max(abs(miss_s)));
end
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
